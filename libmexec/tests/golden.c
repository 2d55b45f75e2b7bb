// The bytes that C and Go must agree on: `golden DIR` compares DIR/*.golden with what this side writes, `golden -w DIR` writes them.
//
// Integers are little-endian, strings end in NUL. The fixed values, as internal/wire's own example has them:
//
//	EXEC     flags VERBOSE|DRIVER|RERUN_SAFE, fds 7, umask 027, nice -3, pgid 77, ppid 76, sigign bit 12 (signal 13), sigblk bit 63
//	         (signal 64), uid 1000 three times, gid 100 three times, rlimit[i] = {i, 2^64-1}, dir dev 1 ino 2 ctime 3.4 s+ns
//	         taken 5.6 fs 0x6969, prog dev 7 ino 8 size 9 mtime 10.11 mode 0100755 fs 0xef53, groups 4 24 100, descriptors 3 63, unsent 5, cwd "/src/a b",
//	         path "/usr/bin/cc", nodes "1-3,node[5-8]", build "b42", repeat "protoc moc*", policy 3 (batch), RT priority 0, reset on fork,
//	         securebits 1, ioprio 0x4003 (best effort 3), oom_score_adj -17, personality 0x0040000, timer slack 60000, cpus 2, argv "cc" "" "-DX=\xff\xfe",
//	         environment "A=1" "no equals sign" "A=2"
//	SIGNAL   signal 20 (TSTP), scope 1
//	HERE     "the only node"       SENT  "n2: least loaded"       WAITING  ""
//	journal  build "b42", owner 70, 5 records begun, all at 1234567890.987654321: KEPT recursive "sh -c cd sub && make" pid 81 by 80;
//	         REAPED pid 82 by 80 exit status 3, user 1.5 s, system 0.25 s, 4096 KiB; FORKED pid 83 by 80; BEGUN pid 84 below 81, 80, 70;
//	         REAPED pid 85 by 84 signal 11 with core, nothing used
//	EXITED   255    KILLED  9    STOPPED  20    FAILED  125 "lost"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../journal.h"
#include "../stub.h"

static int compare(const char *dir, const char *name, const void *bytes, size_t n, bool write_it)
{
	static char there[1 << 16];
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s.golden", dir, name);
	FILE *f = fopen(path, write_it ? "w" : "r");
	if (f == NULL) {
		perror(path);
		return 1;
	}
	bool same = write_it ? fwrite(bytes, 1, n, f) == n : fread(there, 1, sizeof(there), f) == n && memcmp(there, bytes, n) == 0;
	fclose(f);
	if (!same)
		fprintf(stderr, "%s: not the bytes that this side writes\n", path);
	return !same;
}

static int small(const char *dir, const char *name, uint8_t type, const void *body, uint32_t n, bool write_it)
{
	char bytes[256];
	struct frame f = {FRAME_MAGIC, FRAME_VERSION, type, n};
	memcpy(bytes, &f, sizeof(f));
	memcpy(bytes + sizeof(f), body, n);
	return compare(dir, name, bytes, sizeof(f) + n, write_it);
}

static int exec_frame(const char *dir, bool write_it)
{
	static struct job job = {
		.path = "/usr/bin/cc",
		.nodes = "1-3,node[5-8]",
		.build = "b42",
		.repeat = "protoc moc*",
		.cwd = "/src/a b",
		.groups = {4, 24, 100},
		.descriptors = {3, 63},
		.head = {.head_len = 496, .flags = EXEC_VERBOSE | EXEC_DRIVER | EXEC_RERUN_SAFE, .fds = 7, .umask = 027, .nice = -3, .pgid = 77, .ppid = 76,
			 .sigign = 1 << 12, .sigblk = 1ull << 63, .uid = {1000, 1000, 1000}, .gid = {100, 100, 100},
			 .dir_dev = 1, .dir_ino = 2, .dir_ctime_sec = 3, .dir_ctime_nsec = 4, .dir_taken_sec = 5, .dir_taken_nsec = 6,
			 .dir_fs = 0x6969, .prog_dev = 7, .prog_ino = 8, .prog_size = 9, .prog_mtime_sec = 10, .prog_mtime_nsec = 11,
			 .prog_mode = 0100755, .prog_fs = 0xef53, .ngroups = 3, .argc = 3, .envc = 3, .cwd_len = 8, .path_len = 11,
			 .nodes_len = 13, .build_len = 3, .repeat_len = 11, .strings_len = 3 + 1 + 7 + 4 + 15 + 4, .sched_policy = 3, .sched_flags = EXEC_RESET_ON_FORK,
			 .securebits = 1, .ioprio = 0x4003, .oom_score_adj = -17, .personality = 0x40000, .timer_slack = 60000, .cpus = 2, .ndescriptors = 2, .unsent = 5,
			 .kind = 0x0123456789abcdef},
	};
	char *argv[] = {"cc", "", "-DX=\xff\xfe", NULL}, *env[] = {"A=1", "no equals sign", "A=2", NULL};
	job.argv = argv;
	job.env = env;
	for (int i = 0; i < EXEC_RLIMITS; i++) {
		job.head.rlimit[i][0] = i;
		job.head.rlimit[i][1] = UINT64_MAX;
	}
	int pair[2], none[1] = {-1};
	char bytes[4096];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || !send_exec(pair[0], &job, none, 0))
		return 1;
	return compare(dir, "exec", bytes, read(pair[1], bytes, sizeof(bytes)), write_it);
}

static int journal(const char *dir, bool write_it)
{
	enum { AT = 5 };
	static struct {
		struct journal_head head;
		struct journal_record records[AT];
	} bytes = {
		.head = {.magic = JOURNAL_MAGIC, .version = JOURNAL_VERSION, .record_len = sizeof(struct journal_record),
			 .records = JOURNAL_RECORDS, .owner = 70, .build = "b42", .next = AT},
		.records = {
			{.kind = JOURNAL_KEPT, .detail = KEPT_RECURSIVE, .pid = 81, .by = 80, .command = "sh -c cd sub && make"},
			{.kind = JOURNAL_REAPED, .detail = 3 << 8, .pid = 82, .by = 80, .usage = {1500000, 250000, 4096}},
			{.kind = JOURNAL_FORKED, .pid = 83, .by = 80},
			{.kind = JOURNAL_BEGUN, .pid = 84, .by = 81, .above = {81, 80, 70}},
			{.kind = JOURNAL_REAPED, .detail = 11 | 0x80, .pid = 85, .by = 84},
		},
	};
	for (int i = 0; i < AT; i++) {
		bytes.records[i].mark = i + 1;
		bytes.records[i].at = 1234567890987654321;
	}
	return compare(dir, "journal", &bytes, sizeof(bytes), write_it);
}

int main(int argc, char **argv)
{
	bool w = argc == 3 && strcmp(argv[1], "-w") == 0;
	if (!w && argc != 2)
		return 2;
	const char *dir = argv[argc - 1];
	uint32_t number[] = {255, 9, 20}, signal[] = {20, 1};
	return exec_frame(dir, w) | small(dir, "signal", FRAME_SIGNAL, signal, 8, w) |
	       small(dir, "here", FRAME_HERE, "the only node", 13, w) | small(dir, "sent", FRAME_SENT, "n2: least loaded", 16, w) |
	       small(dir, "waiting", FRAME_WAITING, "", 0, w) | small(dir, "exited", FRAME_EXITED, &number[0], 4, w) | small(dir, "killed", FRAME_KILLED, &number[1], 4, w) |
	       small(dir, "stopped", FRAME_STOPPED, &number[2], 4, w) |
	       small(dir, "failed", FRAME_FAILED, "\x7d\0\0\0lost", 8, w) | journal(dir, w);
}
