// mexec-stage: what runs between the daemon's fork and the job's execve (PROTOCOL.md §3).
//
// It is a program of its own, static and tiny, because Go can run nothing between fork and execve but what SysProcAttr offers, and
// because a library between the two would cost every command a dynamic link. It is on the path of each command: one read brings
// all it must know, and a step that changes nothing for almost every job (closed descriptors, ignored signals) makes no system call.
//
// The functions stand in the order in which a job meets them; main is the last one.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stage.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif
#ifndef AT_STATX_FORCE_SYNC
#define AT_STATX_FORCE_SYNC 0x2000
#endif

enum {
	SMALL_FRAME = 64 << 10, // frames up to this need no memory of their own
	SMALL_VECTORS = 4096,
	LARGEST_FRAME = FRAME_MAX_EXEC + (1 << 20),
	REPORTED = 127, // exit status of a stage that has said what is wrong
};

static _Alignas(16) char small_frame[SMALL_FRAME];
static char *small_vectors[SMALL_VECTORS];

int channel = CHANNEL;

int report(uint32_t step, int err, uint32_t detail)
{
	struct record r = { .step = step, .err = (uint32_t)err, .detail = detail };
	return write(channel, &r, sizeof r) == sizeof r ? 0 : -1;
}

_Noreturn void fail(uint32_t step, int err, uint32_t detail)
{
	report(step, err, detail);
	if (started >= 0 && write(started, "", 1) < 0)
		_exit(REPORTED + 1);
	_exit(REPORTED);
}

void *pages(uint64_t size, uint32_t step)
{
	void *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		fail(step, errno, 0);
	return p;
}

// aside moves a new descriptor out of the way of 0 to 4: it got one of those where the job has it closed.
int aside(int fd, uint32_t step)
{
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);
	if (high < 0)
		fail(step, errno, 0);
	close(fd);
	return high;
}

static void read_all(char *into, size_t have, size_t want)
{
	while (have < want) {
		ssize_t n = read(CHANNEL, into + have, want - have);
		if (n <= 0)
			fail(STEP_FRAME, n < 0 ? errno : 0, 0);
		have += (size_t)n;
	}
}

// receive takes the begin of the frame and the job's descriptors, which come with it: this process may have been forked long before its
// job was known. 0 to 2 are free, so that is where the kernel puts the first three; the setter's log, if there is one, goes to 4.
// Those behind it are the job's descriptors above 2 (stage_files.c).
static ssize_t receive(void)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE((4 + EXEC_DESCRIPTORS) * sizeof(int))];
	} control;
	struct iovec part = { small_frame, sizeof small_frame };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t n;
	do
		n = recvmsg(CHANNEL, &m, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		_exit(0); // the daemon has no job for us any more
	static const int wanted[] = { 0, 1, 2 };
	const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	size_t count = c && c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
	if (m.msg_flags & MSG_CTRUNC || count < 3 || memcmp(CMSG_DATA(c), wanted, sizeof wanted))
		fail(STEP_FRAME, EBADF, 0);
	attached.count = (uint32_t)count - 3;
	memcpy(attached.fds, CMSG_DATA(c) + sizeof wanted, attached.count * sizeof(int));
	return n;
}

static char *read_frame(void)
{
	ssize_t n = receive();
	if (n < (ssize_t)sizeof(struct stage_head))
		fail(STEP_FRAME, 0, 0);
	struct stage_head head;
	memcpy(&head, small_frame, sizeof head);
	if (head.length > LARGEST_FRAME || head.length < sizeof head)
		fail(STEP_FRAME, EMSGSIZE, 0);
	if (head.flags & STAGE_ENVSETTER) {
		if (!attached.count || attached.fds[0] != LOG)
			fail(STEP_FRAME, EBADF, 0);
		memmove(attached.fds, attached.fds + 1, --attached.count * sizeof(int));
	}
	size_t size = head.length + sizeof head.length;
	char *frame = small_frame;
	if (size > sizeof small_frame) {
		frame = pages(size, STEP_FRAME);
		memcpy(frame, small_frame, (size_t)n);
	}
	read_all(frame, (size_t)n, size);
	return frame;
}

// vector makes count strings, which stand one after the other, into an array as execve wants it. It returns where they end,
// or 0 if that is beyond end.
char *vector(char **into, uint32_t count, char *strings, const char *end)
{
	for (uint32_t i = 0; i < count; i++) {
		char *nul = strings < end ? memchr(strings, 0, (size_t)(end - strings)) : 0;
		if (!nul)
			return 0;
		into[i] = strings;
		strings = nul + 1;
	}
	into[count] = 0;
	return strings;
}

// text takes a string of a known length with its NUL from the frame. 0: it is not there.
static char *text(char **at, const char *end, uint32_t len)
{
	char *s = *at;
	if ((uint64_t)(end - s) < (uint64_t)len + 1 || s[len] || memchr(s, 0, len))
		return 0;
	*at = s + len + 1;
	return s;
}

static int parse(struct stage *s, char *frame)
{
	const struct stage_head *head = s->head = (const struct stage_head *)frame;
	const char *end = frame + sizeof head->length + head->length;
	char *at = frame + sizeof *head;
	if ((uint64_t)(end - at) < 4ull * head->ngroups)
		return -1;
	s->groups = (const uint32_t *)at;
	at += 4ull * head->ngroups;
	if (!(s->envsetter = text(&at, end, head->envsetter_len)))
		return -1;
	s->ndescriptors = 0;
	s->top = LOG + 1;
	if (head->flags & STAGE_DESCRIPTORS ? !(at = parse_descriptors(s, at, end)) : attached.count)
		return -1;

	struct exec_head *exec = &s->exec;
	if ((size_t)(end - at) < sizeof *exec)
		return -1;
	memcpy(exec, at, sizeof *exec);
	uint64_t numbers = 4ull * exec->ngroups + 4ull * exec->ndescriptors;
	if (exec->head_len < sizeof *exec || exec->head_len + numbers > (uint64_t)(end - at))
		return -1;
	at += exec->head_len + numbers;
	if (!(s->cwd = text(&at, end, exec->cwd_len)) || !(s->path = text(&at, end, exec->path_len)) ||
	    !text(&at, end, exec->nodes_len) || !text(&at, end, exec->build_len) || !text(&at, end, exec->repeat_len))
		return -1;
	if ((uint64_t)(end - at) != exec->strings_len || (uint64_t)exec->argc + exec->envc > exec->strings_len)
		return -1;

	uint64_t count = (uint64_t)exec->argc + exec->envc + 2;
	s->argv = count <= SMALL_VECTORS ? small_vectors : pages(count * sizeof *s->argv, STEP_FRAME);
	s->envp = s->argv + exec->argc + 1;
	if (!(at = vector(s->argv, exec->argc, at, end)))
		return -1;
	return vector(s->envp, exec->envc, at, end) == end ? 0 : -1;
}

static struct limit had_limits[EXEC_RLIMITS];

// Called before there is a job to wait for us, as note_scheduling.
static void note_limits(void)
{
	for (uint32_t i = 0; i < EXEC_RLIMITS; i++)
		syscall(SYS_prlimit64, 0, i, 0, &had_limits[i]);
}

static int is_wide(uint32_t resource)
{
	return resource == RLIMIT_NOFILE || resource == RLIMIT_FSIZE || resource == RLIMIT_NPROC;
}

// The setter's shell is a process more, needs descriptors from 10 on, and what it leaves is written into a file, whatever the job may have: these limits are the
// daemon's where that is more, until narrow.
static void widen(const struct stage *s, uint32_t resource, struct limit *l)
{
	if (s->head->flags & STAGE_ENVSETTER && l->soft < had_limits[resource].soft)
		l->soft = had_limits[resource].soft;
	if (s->head->flags & STAGE_ENVSETTER && l->hard < had_limits[resource].hard)
		l->hard = had_limits[resource].hard;
	if (resource == RLIMIT_NOFILE)
		make_room(s, l);
}

static void narrow(const struct stage *s)
{
	for (uint32_t i = 0; i < EXEC_RLIMITS; i++)
		if (is_wide(i) && syscall(SYS_prlimit64, 0, i, s->exec.rlimit[i], 0))
			fail(STEP_RLIMIT, errno, i);
}

// A limit that is as the daemon's is there already. To set another, or to be denied it, the kernel needs no look at the old one.
static void set_limits(const struct stage *s)
{
	for (uint32_t i = 0; i < EXEC_RLIMITS; i++) {
		struct limit limit = { s->exec.rlimit[i][0], s->exec.rlimit[i][1] };
		if (is_wide(i))
			widen(s, i, &limit);
		int same = limit.soft == had_limits[i].soft && limit.hard == had_limits[i].hard;
		if (!same && syscall(SYS_prlimit64, 0, i, &limit, 0))
			fail(STEP_RLIMIT, errno, i);
	}
}

// Raw system calls: the C library's versions wait for threads that are not there, with a dozen system calls more.
static void set_ids(const struct stage *s)
{
	const struct stage_head *head = s->head;
	if (syscall(SYS_setgroups, head->ngroups, s->groups))
		fail(STEP_GROUPS, errno, 0);
	if (syscall(SYS_setresgid, head->gid, head->gid, head->gid) || syscall(SYS_setresuid, head->uid, head->uid, head->uid))
		fail(STEP_IDS, errno, 0);
}

// FORCE_SYNC makes NFS and FUSE ask the server, as an open would. An open was refused: it needs read permission, which a directory
// may lack and still be worked in, and a free descriptor, which RLIMIT_NOFILE may deny. fstatat(2) does not tell of the flag,
// but all stat calls of Linux take it since it exists.
static void check_directory(const struct stage *s)
{
	int same_kernel = !!(s->head->flags & STAGE_SAME_KERNEL);
	struct stat st;
	if (fstatat(AT_FDCWD, ".", &st, AT_STATX_FORCE_SYNC))
		fail(STEP_CWD, errno, 0);
	struct place here = {
		.dev = st.st_dev,
		.ino = st.st_ino,
		.ctime_sec = st.st_ctim.tv_sec,
		.ctime_nsec = (uint32_t)st.st_ctim.tv_nsec,
	};
	struct statfs fs;
	if (!same_kernel) {
		if (statfs(".", &fs))
			fail(STEP_CWD, errno, 0);
		here.fs = (uint32_t)fs.f_type;
	}
	enum directory d = same_directory(&s->exec, &here, same_kernel, s->head->skew_ms);
	if (d != DIRECTORY_SAME)
		fail(STEP_DIRECTORY, 0, d);
}

static void check_program(const struct stage *s)
{
	struct stat st;
	if (stat(s->path, &st))
		fail(STEP_PROGRAM, errno, 0);
	struct file here = {
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime_sec = st.st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)st.st_mtim.tv_nsec,
	};
	enum program p = same_program(&s->exec, &here, !!(s->head->flags & STAGE_SAME_KERNEL));
	if (p != PROGRAM_SAME)
		fail(STEP_PROGRAM, 0, p);
}

// dispositions sets signals to ignored or default; touched are those that may be anything but default now. After an execve
// a signal is never anything else, so all others need no system call (62 of them cost as much as all other steps).
void dispositions(uint64_t touched, uint64_t ignored)
{
	// The kernel's own struct sigaction: the C library's sigaction refuses the signals that its threads use.
	struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} action = { 0 };
	for (uint64_t rest = touched | ignored; rest; rest &= rest - 1) {
		int signal = __builtin_ctzll(rest) + 1;
		if (signal == SIGKILL || signal == SIGSTOP)
			continue;
		action.handler = ignored >> (signal - 1) & 1 ? SIG_IGN : SIG_DFL;
		syscall(SYS_rt_sigaction, signal, &action, 0, sizeof action.mask);
	}
}

void mask(uint64_t blocked)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, 0, sizeof blocked);
}

_Noreturn static void become(struct stage *s)
{
	const struct exec_head *exec = &s->exec;
	uint32_t flags = s->head->flags;

	// A group of its own and not a session: in a new session the group would be orphaned, and SIGTSTP discarded.
	setpgid(0, 0);
	if (flags & STAGE_TERMINAL)
		take_foreground();
	for (int fd = 0; fd < 3; fd++)
		if (s->head->closed >> fd & 1)
			close(fd);

	if (flags >> STAGE_NICER)
		give_way(&s->exec, (int)(flags >> STAGE_NICER));
	set_scheduling(exec);
	set_limits(s);
	if (setpriority(PRIO_PROCESS, 0, exec->nice))
		fail(STEP_NICE, errno, 0);
	set_policy(exec);
	if (flags & STAGE_SET_IDS)
		set_ids(s);
	umask(exec->umask);
	if (exec->flags & EXEC_NO_NEW_PRIVS)
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

	if (chdir(s->cwd))
		fail(STEP_CWD, errno, 0);
	if (flags & STAGE_CHECK_DIRECTORY)
		check_directory(s);
	if (flags & STAGE_CHECK_PROGRAM)
		check_program(s);
	if (flags & STAGE_ENVSETTER)
		set_environment(s);
	if (flags & STAGE_DESCRIPTORS)
		place_descriptors(s);
	if (flags & (STAGE_ENVSETTER | STAGE_DESCRIPTORS))
		narrow(s);

	if (exec->special)
		set_special(exec);
	dispositions(s->head->ignored, exec->sigign);
	mask(exec->sigblk);
	execve(s->path, s->argv, s->envp);
	fail(STEP_EXEC, errno, 0);
}

int main(int argc, char **argv, char **envp)
{
	if (argc == 2 && !strcmp(argv[1], "--resume"))
		return resume(envp);
	if (argc == 3 && !strcmp(argv[1], "--guard"))
		return guard(argv[2]);
	int server = argc == 2 && !strcmp(argv[1], "--forkserver");
	if (!server && argc != 1) {
		static const char usage[] = "mexec-stage: this program is started by mexecd only\n";
		return write(2, usage, sizeof usage - 1) < 0 ? 2 : 1;
	}
	note_scheduling(); // of the daemon: no fork has to look again
	note_limits();
	if (server)
		forkserver();
	struct stage s;
	if (parse(&s, read_frame()))
		fail(STEP_FRAME, EINVAL, 0);
	// With the channel, what the daemon itself has inherited from whoever started it, and does not know of.
	if (syscall(SYS_close_range, CHANNEL, ~0u, CLOSE_RANGE_CLOEXEC)) { // Linux before 5.11
		fcntl(CHANNEL, F_SETFD, FD_CLOEXEC);
		for (uint32_t i = 0; i < attached.count; i++)
			fcntl(attached.fds[i], F_SETFD, FD_CLOEXEC);
	}
	if (s.head->flags & STAGE_SUPERVISE)
		supervise(s.head->flags & STAGE_TERMINAL); // returns in the job
	become(&s);
}
