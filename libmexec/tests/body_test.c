// The EXEC frame holds what execve would have handed on.
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../kind.h"
#include "harness.h"

static struct received *offered(char *const argv[], char *const env[], void (*before)(void))
{
	int l = listen_at("sock");
	pid_t pid = run_stub(argv, env, before);
	int c = accept_at(l);
	struct received *r = receive(c);
	answer_number(c, FRAME_EXITED, 3);
	int status = ended(pid);
	SAME(WEXITSTATUS(status), 3);
	close(l);
	unlink("sock");
	return r;
}

#define SOCKET "MEXEC_SOCKET=sock"

static void unusual(void)
{
	umask(027);
	setpriority(PRIO_PROCESS, 0, 5);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){77, 99});
	signal(SIGUSR1, SIG_IGN);
	unsigned long ignore[8] = {1};
	syscall(SYS_rt_sigaction, 33, ignore, NULL, 8); // one that the C library hides
	uint64_t block = 1ull << (SIGUSR2 - 1) | 1ull << 63 | 1ull << 32;
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &block, NULL, 8);
	setpgid(0, 0);
	if (geteuid() == 0) {
		gid_t groups[] = {4, 24, 70000};
		if (setgroups(3, groups) != 0 || setresgid(10, 11, 12) != 0)
			_exit(98);
	}
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

TEST(attributes_are_what_execve_would_hand_on)
{
	struct received *r = offered(LIST("mexec", "-n", "1-3,x", "true", "", "\xff\xfe"), LIST(SOCKET, "PATH=/nowhere:/usr/bin"),
				     unusual);
	struct exec_head *h = &r->head;
	SAME(h->head_len, 496);
	SAME(h->flags, EXEC_NO_NEW_PRIVS);
	SAME(h->umask, 027);
	SAME(h->nice, 5);
	SAME(h->ppid, getpid());
	CHECK(h->pgid != (uint32_t)getpgrp() && h->pgid != 0);
	CHECK(h->sigign == (1ull << (SIGUSR1 - 1) | 1ull << 32));
	CHECK(h->sigblk == (1ull << (SIGUSR2 - 1) | 1ull << 63 | 1ull << 32));
	for (int i = 0; i < EXEC_RLIMITS; i++) {
		struct rlimit l;
		if (i == RLIMIT_NOFILE)
			l = (struct rlimit){77, 99};
		else
			CHECK(getrlimit(i, &l) == 0);
		CHECK(h->rlimit[i][0] == l.rlim_cur && h->rlimit[i][1] == l.rlim_max);
	}
	if (geteuid() == 0) {
		CHECK(h->gid[0] == 10 && h->gid[1] == 11 && h->gid[2] == 11); // execve saves the effective one
		CHECK(h->ngroups == 3 && r->groups[0] == 4 && r->groups[1] == 24 && r->groups[2] == 70000);
	}
	for (int i = 0; i < 3; i++)
		SAME(h->uid[i], geteuid());
	SAME_TEXT(r->path, "/usr/bin/true");
	SAME_TEXT(r->nodes, "1-3,x");
	SAME_TEXT(r->build, "");
	SAME(h->argc, 3);
	SAME_TEXT(r->argv[0], "true");
	SAME_TEXT(r->argv[1], "");
	SAME_TEXT(r->argv[2], "\xff\xfe");
	CHECK(h->kind == kind_of("true", LIST("true", "", "\xff\xfe")));
}

TEST(directory_and_program_are_what_stat_shows)
{
	struct timespec before, after;
	struct stat st;
	struct statfs fs;
	clock_gettime(CLOCK_REALTIME, &before);
	struct received *r = offered(LIST("mexec", "/bin/true"), LIST(SOCKET), NULL);
	clock_gettime(CLOCK_REALTIME, &after);
	struct exec_head *h = &r->head;
	char cwd[4096];
	SAME_TEXT(r->cwd, getcwd(cwd, sizeof(cwd)));
	CHECK(stat(".", &st) == 0 && statfs(".", &fs) == 0);
	CHECK(h->dir_dev == st.st_dev && h->dir_ino == st.st_ino && h->dir_fs == (uint64_t)fs.f_type);
	int64_t taken = h->dir_taken_sec * 1000000000 + h->dir_taken_nsec;
	CHECK(taken >= before.tv_sec * 1000000000ll + before.tv_nsec && taken <= after.tv_sec * 1000000000ll + after.tv_nsec);
	CHECK(h->dir_ctime_sec > 0 && h->dir_ctime_sec <= st.st_ctim.tv_sec);
	CHECK(stat("/bin/true", &st) == 0 && statfs("/bin/true", &fs) == 0);
	CHECK(h->prog_dev == st.st_dev && h->prog_ino == st.st_ino && h->prog_size == (uint64_t)st.st_size);
	CHECK(h->prog_mtime_sec == st.st_mtim.tv_sec && h->prog_mtime_nsec == st.st_mtim.tv_nsec);
	CHECK(h->prog_mode == st.st_mode && h->prog_fs == (uint64_t)fs.f_type);
}

TEST(environment_travels_in_order_with_duplicates_and_odd_entries)
{
	char *env[] = {"B=2", "no equals sign", "", "A=1", SOCKET, "A=2", "=x", "LD_PRELOAD=/x/libmexec-preload.so:y", "NODES=5", NULL};
	unsetenv("LD_PRELOAD");
	struct received *r = offered(LIST("mexec", "/bin/true"), env, NULL);
	SAME(r->head.envc, 9);
	for (int i = 0; i < 9; i++)
		SAME_TEXT(r->env[i], env[i]);
	SAME_TEXT(r->nodes, "5");
	SAME(r->head.flags, 0);
}

TEST(a_frame_of_megabytes_arrives_whole)
{
	enum { N = 6000 };
	char **argv = calloc(N + 3, sizeof(*argv));
	argv[0] = "mexec";
	argv[1] = "/bin/true";
	for (int i = 0; i < N; i++) {
		argv[i + 2] = malloc(200);
		memset(argv[i + 2], 'a' + i % 26, 199);
		argv[i + 2][i % 200] = '\0';
	}
	struct received *r = offered(argv, LIST(SOCKET), NULL);
	SAME(r->head.argc, N + 1);
	for (int i = 0; i < N; i++)
		SAME_TEXT(r->argv[i + 1], argv[i + 2]);
}

static void close_0_and_2(void)
{
	close(0);
	close(2);
}

static void close_all_three(void)
{
	for (int fd = 0; fd <= 2; fd++)
		close(fd);
}

TEST(open_ones_of_the_three_descriptors_are_attached)
{
	struct stat a, b;
	struct received *r = offered(LIST("mexec", "/bin/true"), LIST(SOCKET), NULL);
	SAME(r->head.fds, 7);
	SAME(r->nfds, 3);
	CHECK(fstat(r->fds[1], &a) == 0 && stat("out", &b) == 0 && a.st_ino == b.st_ino);
	CHECK(fstat(r->fds[2], &a) == 0 && stat("err", &b) == 0 && a.st_ino == b.st_ino);
	r = offered(LIST("mexec", "/bin/true"), LIST(SOCKET), close_0_and_2);
	SAME(r->head.fds, 2);
	SAME(r->nfds, 1);
	CHECK(fstat(r->fds[0], &a) == 0 && stat("out", &b) == 0 && a.st_ino == b.st_ino);
	r = offered(LIST("mexec", "/bin/true"), LIST(SOCKET), close_all_three);
	SAME(r->head.fds, 0);
	SAME(r->nfds, 0);
}

TEST(no_stdin_is_an_empty_one)
{
	struct received *r = offered(LIST("mexec", "--no-stdin", "/bin/true"), LIST(SOCKET), NULL);
	SAME(r->head.flags, EXEC_NO_STDIN);
	struct stat a, b;
	CHECK(fstat(r->fds[0], &a) == 0 && stat("/dev/null", &b) == 0 && a.st_rdev == b.st_rdev);
}

static void vanish(void)
{
	if (mkdir("gone", 0700) != 0 || chdir("gone") != 0 || rmdir("../gone") != 0)
		_exit(98);
}

TEST(a_directory_without_a_name_keeps_its_command_here)
{
	char sock[4200] = "MEXEC_SOCKET=";
	CHECK(getcwd(sock + 13, 4096) != NULL);
	strcat(sock, "/sock");
	listen_at("sock");
	int status = ended(run_stub(LIST("mexec", "-v", "/bin/false"), LIST(sock), vanish));
	SAME(WEXITSTATUS(status), 1);
	SAME_TEXT(contents("err"), "mexec: here: the working directory has no name\n");
}

TEST(argument_0_may_be_anything)
{
	struct received *r = offered(LIST("mexec", "-a", "-sh", "-p", "--", "/bin/sh", "-c", ""), LIST(SOCKET), NULL);
	SAME_TEXT(r->path, "/bin/sh");
	SAME_TEXT(r->argv[0], "-sh");
	SAME(r->head.argc, 3);
	r = offered(LIST("mexec", "-a", "", "/bin/sh"), LIST(SOCKET), NULL);
	SAME_TEXT(r->argv[0], "");
}
