// The caller that a conformance test is about: it makes of itself what the test wants a caller to be, and executes one program.
//
//	launch_make SPEC
//
// SPEC is a file of strings that end in NUL: words of one order after the other, as in the table below. The last order is "call": by which
// of libc's functions. Where that fails its errno is written to SPEC.errno, and the exit status is 99. Its name makes it a make to
// libmexec-preload.so, which only acts in those.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launch.h"

enum { MOST = 1 << 18, ERRNO_FD = 1000 };

static char **words;
static const char *spec;

_Noreturn static void give_up(const char *what)
{
	fprintf(stderr, "launch: %s: %s\n", what, strerror(errno));
	_exit(98);
}

static const char *word(void)
{
	if (*words == NULL)
		give_up("the orders are cut short");
	return *words++;
}

static long long number(void) { return strtoll(word(), NULL, 0); }

static void must(long result, const char *what)
{
	if (result < 0)
		give_up(what);
}

// A new descriptor becomes the number that the test wants.
static void place(int fd, int at)
{
	must(fd, "open");
	if (fd == at)
		return;
	must(dup2(fd, at), "dup2");
	close(fd);
}

static void disposition(int n, unsigned long handler)
{
	unsigned long a[4] = {handler};
	must(syscall(SYS_rt_sigaction, n, a, NULL, 8), "sigaction");
}

static void block(uint64_t set)
{
	must(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 8), "sigprocmask");
}

static void scheduling(unsigned policy, unsigned priority, uint64_t flags)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t deadline[3];
	} a = {.size = sizeof(a), .policy = policy, .flags = flags, .priority = priority, .nice = getpriority(PRIO_PROCESS, 0)};
	if (policy == 6) {
		a.deadline[0] = 10000000;
		a.deadline[1] = a.deadline[2] = 100000000;
	}
	must(syscall(SYS_sched_setattr, 0, &a, 0), "sched_setattr");
}

static void groups(const char *list)
{
	gid_t g[65536];
	int n = 0;
	for (char *at = (char *)list; *at != '\0'; at += *at == ',')
		g[n++] = strtoul(at, &at, 10);
	must(setgroups(n, g), "setgroups");
}

// chmod on descriptors says EPERM from here on: nothing that a test or a daemon needs.
static void filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fchmod, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {4, code};
	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp");
}

static void cpus(int count)
{
	cpu_set_t all, some;
	CPU_ZERO(&some);
	must(sched_getaffinity(0, sizeof(all), &all), "sched_getaffinity");
	for (int i = CPU_SETSIZE - 1; i >= 0 && count > 0; i--)
		if (CPU_ISSET(i, &all)) {
			CPU_SET(i, &some);
			count--;
		}
	must(sched_setaffinity(0, sizeof(some), &some), "sched_setaffinity");
}

static void oom(const char *score)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);
	must(write(fd, score, strlen(score)), "oom_score_adj");
	close(fd);
}

static void caught(int n) { (void)n; }

static void descriptor(const char *order)
{
	int at = number();
	if (strcmp(order, "close") == 0) {
		close(at);
	} else if (strcmp(order, "open") == 0) {
		const char *path = word();
		int flags = number();
		int fd = open(path, flags, 0666);
		must(fd, path);
		if (number() > 0) {
			words--;
			must(lseek(fd, number(), SEEK_SET), "lseek");
		}
		place(fd, at);
	} else if (strcmp(order, "dup") == 0) {
		must(dup2(at, number()), "dup2");
	} else if (strcmp(order, "pipe") == 0) { // at reads, the other writes
		int p[2], other = number();
		must(pipe(p), "pipe");
		int high = fcntl(p[1], F_DUPFD, 500);
		close(p[1]);
		place(p[0], at);
		place(high, other);
	} else if (strcmp(order, "socketpair") == 0) {
		int p[2], other = number();
		must(socketpair(AF_UNIX, SOCK_STREAM, 0, p), "socketpair");
		int high = fcntl(p[1], F_DUPFD, 500);
		close(p[1]);
		place(p[0], at);
		place(high, other);
	} else if (strcmp(order, "fill") == 0) { // text in a pipe or a socket, for the program to read
		const char *s = word();
		must(write(at, s, strlen(s)), "fill");
	} else if (strcmp(order, "memfd") == 0) {
		place(memfd_create("probe", 0), at);
	} else if (strcmp(order, "epoll") == 0) {
		place(epoll_create1(0), at);
	} else if (strcmp(order, "eventfd") == 0) {
		place(eventfd(0, 0), at);
	} else if (strcmp(order, "flock") == 0) {
		must(flock(at, LOCK_EX), "flock");
	} else if (strcmp(order, "cloexec") == 0) {
		must(fcntl(at, F_SETFD, FD_CLOEXEC), "cloexec");
	} else {
		give_up(order);
	}
}

static int is(const char *order, const char *name) { return strcmp(order, name) == 0; }

static void obey(const char *order)
{
	if (is(order, "umask"))
		umask(number());
	else if (is(order, "chdir"))
		must(chdir(word()), "chdir");
	else if (is(order, "chroot"))
		must(chroot(word()), "chroot");
	else if (is(order, "hide")) { // a directory behind an empty one that nobody else sees
		must(unshare(CLONE_NEWNS), "unshare");
		must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
		must(mount("hide", word(), "tmpfs", 0, NULL), "mount");
	} else if (is(order, "mkdir"))
		must(mkdir(word(), 0777), "mkdir");
	else if (is(order, "rmdir"))
		must(rmdir(word()), "rmdir");
	else if (is(order, "rlimit")) {
		int n = number();
		uint64_t l[2];
		l[0] = strtoull(word(), NULL, 0);
		l[1] = strtoull(word(), NULL, 0);
		must(syscall(SYS_prlimit64, 0, n, l, NULL), "prlimit");
	} else if (is(order, "nice"))
		must(setpriority(PRIO_PROCESS, 0, number()), "nice");
	else if (is(order, "sched")) {
		unsigned policy = number(), priority = number();
		scheduling(policy, priority, number());
	} else if (is(order, "ioprio"))
		must(syscall(SYS_ioprio_set, 1, 0, (int)number()), "ioprio");
	else if (is(order, "oom"))
		oom(word());
	else if (is(order, "personality"))
		must(personality(number()), "personality");
	else if (is(order, "cpus"))
		cpus(number());
	else if (is(order, "slack"))
		must(prctl(PR_SET_TIMERSLACK, (unsigned long)number()), "slack");
	else if (is(order, "ignore"))
		disposition(number(), 1);
	else if (is(order, "default"))
		disposition(number(), 0);
	else if (is(order, "catch"))
		disposition(number(), (unsigned long)caught);
	else if (is(order, "block"))
		block(1ull << (number() - 1));
	else if (is(order, "raise"))
		must(syscall(SYS_kill, getpid(), (int)number()), "kill");
	else if (is(order, "timer")) {
		int which = number();
		long usec = number();
		struct itimerval t = {.it_value = {usec / 1000000, usec % 1000000}};
		must(setitimer(which, &t, NULL), "setitimer");
	} else if (is(order, "uid")) {
		uid_t r = number(), e = number();
		must(syscall(SYS_setresuid, r, e, (uid_t)number()), "setresuid");
	} else if (is(order, "gid")) {
		gid_t r = number(), e = number();
		must(syscall(SYS_setresgid, r, e, (gid_t)number()), "setresgid");
	} else if (is(order, "groups"))
		groups(word());
	else if (is(order, "nnp"))
		must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
	else if (is(order, "securebits"))
		must(prctl(PR_SET_SECUREBITS, number()), "securebits");
	else if (is(order, "capdrop"))
		must(prctl(PR_CAPBSET_DROP, number()), "capbset");
	else if (is(order, "seccomp"))
		filter();
	else if (is(order, "prctl")) {
		int option = number();
		must(prctl(option, number(), 0, 0, 0), "prctl");
	} else if (is(order, "setpgid"))
		must(setpgid(0, 0), "setpgid");
	else if (is(order, "setsid")) {
		if (setsid() < 0) // a leader already: the child is none
			give_up("setsid");
	} else if (is(order, "altstack")) {
		static char room[65536];
		stack_t s = {.ss_sp = room, .ss_size = sizeof(room)};
		must(sigaltstack(&s, NULL), "sigaltstack");
	} else if (is(order, "mlock"))
		must(mlockall(MCL_CURRENT), "mlockall");
	else if (is(order, "child")) { // one that has ended and nobody waits for
		if (fork() == 0)
			_exit(0);
	} else if (is(order, "burn")) { // a child that takes 200 ms of CPU
		if (fork() == 0)
			while (clock() < CLOCKS_PER_SEC / 5)
				;
		if (wait(NULL) < 0)
			_exit(0);
	} else
		descriptor(order);
}

static char *read_orders(void)
{
	int fd = open(spec, O_RDONLY | O_CLOEXEC);
	struct stat st;
	must(fd < 0 ? -1 : fstat(fd, &st), spec);
	char *bytes = malloc(st.st_size + 1);
	for (off_t have = 0; have < st.st_size;) {
		ssize_t n = read(fd, bytes + have, st.st_size - have);
		must(n > 0 ? 0 : -1, "read");
		have += n;
	}
	bytes[st.st_size] = '\0';
	close(fd);
	words = calloc(MOST + 1, sizeof(*words));
	char **to = words;
	for (char *at = bytes; at < bytes + st.st_size; at += strlen(at) + 1) {
		if (to == words + MOST)
			give_up("too many words");
		*to++ = at;
	}
	return bytes;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	spec = argv[1];
	if (syscall(SYS_close_range, 3, ~0u, 0) != 0) // whatever the test's own caller has left open
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
	read_orders();
	char path[4096];
	snprintf(path, sizeof(path), "%s.errno", spec);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	must(fd, path);
	int errnos = fcntl(fd, F_DUPFD_CLOEXEC, ERRNO_FD);
	if (errnos < 0)
		errnos = fcntl(fd, F_DUPFD_CLOEXEC, 200);
	must(errnos, "F_DUPFD");
	close(fd);

	struct call c = {.argv = calloc(MOST, sizeof(char *)), .env = calloc(MOST, sizeof(char *))};
	size_t args = 0, vars = 0;
	for (const char *order = word(); !is(order, "call"); order = word())
		if (is(order, "path"))
			c.path = word();
		else if (is(order, "arg"))
			c.argv[args++] = (char *)word();
		else if (is(order, "env"))
			c.env[vars++] = (char *)word();
		else
			obey(order);
	c.way = word();
	int err = call(&c);
	dprintf(errnos, "%d\n", err);
	_exit(99);
}
