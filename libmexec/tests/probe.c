// What a program can see of itself after execve, in a canonical text, one fact on a line: the transcripts of internal/exectest.
//
// It goes to the file "transcript" beside the program, so that all descriptors are the test's; to stdout where no file can be opened.
// With PROBE in its environment it does something instead (acts.c).
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

#include "probe.h"

enum { LONGEST = 1024, DESCRIPTORS = 1100 };

static char text[256 << 10];
static size_t have;

// One line. What does not fit any more is cut, and the transcripts differ.
static void fact(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	int n = vsnprintf(text + have, sizeof(text) - have, format, list);
	va_end(list);
	have += n;
	if (n < 0 || have >= sizeof(text) - 1)
		have = sizeof(text) - 2;
	text[have++] = '\n';
}

static const char *escaped(const char *s)
{
	static char room[4 * LONGEST + 1];
	char *to = room;
	size_t length = strlen(s);
	if (length > LONGEST) {
		uint64_t sum = 14695981039346656037u;
		for (size_t i = 0; i < length; i++)
			sum = (sum ^ (unsigned char)s[i]) * 1099511628211u;
		sprintf(room, "(%zu bytes, %016llx)", length, (unsigned long long)sum);
		return room;
	}
	for (; *s != '\0'; s++) {
		unsigned char c = *s;
		if (c > ' ' && c < 127 && c != '\\')
			*to++ = c;
		else
			to += sprintf(to, "\\%03o", c);
	}
	*to = '\0';
	return room;
}

static void strings(const char *name, char **list)
{
	int n = 0;
	uint64_t sum = 14695981039346656037u;
	for (; list[n] != NULL; n++) {
		for (const char *s = list[n]; *s != '\0'; s++)
			sum = (sum ^ (unsigned char)*s) * 1099511628211u;
		sum = (sum ^ 256) * 1099511628211u;
		if (n < 64)
			fact("%s.%d %s", name, n, escaped(list[n]));
	}
	fact("%s.count %d %016llx", name, n, (unsigned long long)sum);
}

// The kernel's status file, of which the lines that execve has a say in.
static void status(void)
{
	static const char *const wanted[] = {"Umask", "Uid", "Gid", "Groups", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm",
					     "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Speculation_Store_Bypass", "Threads", "VmLck",
					     "TracerPid", "THP_enabled", "CoreDumping", "Mems_allowed_list"};
	static char bytes[64 << 10];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, bytes, sizeof(bytes) - 1);
	if (fd >= 0)
		close(fd);
	bytes[n > 0 ? n : 0] = '\0';
	for (char *line = strtok(bytes, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		char *value = strchr(line, ':');
		if (value == NULL)
			continue;
		*value++ = '\0';
		for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
			if (strcmp(line, wanted[i]) == 0)
				fact("status.%s%s%s", line, value[0] == '\0' ? "" : " ", escaped(value + strspn(value, "\t ")));
	}
}

static void file(const char *name, const char *path)
{
	char bytes[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes) - 1);
	if (fd >= 0)
		close(fd);
	if (n < 0) {
		fact("%s unreadable", name);
		return;
	}
	bytes[n] = '\0';
	bytes[strcspn(bytes, "\n")] = '\0';
	fact("%s %s", name, escaped(bytes));
}

static void places(void)
{
	char path[PATH_MAX];
	struct stat st;
	fact("cwd %s", syscall(SYS_getcwd, path, sizeof(path)) > 0 ? escaped(path) : strerror(errno));
	if (stat(".", &st) == 0 && st.st_nlink > 0)
		fact("cwd.inode %llx:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	if (stat("/", &st) == 0)
		fact("root.inode %llx:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	fact("exe %s", escaped(path));
	const char *name = (const char *)getauxval(AT_EXECFN);
	fact("execfn %s", name != NULL ? escaped(name) : "none");
	fact("secure %lu", getauxval(AT_SECURE));
	file("comm", "/proc/self/comm");
	struct utsname u;
	uname(&u);
	fact("host %s", u.nodename);
}

static void limits(void)
{
	static const char *const names[] = {"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks",
					    "sigpending", "msgqueue", "nice", "rtprio", "rttime"};
	for (int i = 0; i < 16; i++) {
		uint64_t l[2];
		syscall(SYS_prlimit64, 0, i, NULL, l);
		fact("rlimit.%s %lld %lld", names[i], (long long)l[0], (long long)l[1]);
	}
}

static void scheduling(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t deadline[3];
	} a = {0};
	syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0);
	fact("nice %d", getpriority(PRIO_PROCESS, 0));
	fact("policy %u %u flags %llx", a.policy, a.priority, (unsigned long long)a.flags);
	fact("ioprio %lx", syscall(SYS_ioprio_get, 1, 0));
	file("oom_score_adj", "/proc/self/oom_score_adj");
	file("timerslack", "/proc/self/timerslack_ns");
	fact("personality %x", (unsigned)personality(0xffffffff));
	uint64_t cpus[16] = {0};
	int count = 0, shown = 0;
	syscall(SYS_sched_getaffinity, 0, sizeof(cpus), cpus);
	char list[1024] = "";
	for (int i = 0; i < 1024; i++)
		if (cpus[i / 64] >> i % 64 & 1) {
			count++;
			if (shown < 900)
				shown += sprintf(list + shown, " %d", i);
		}
	fact("cpus %d", count);
	fact("cpus.which%s", list);
	fact("slack %d", (int)prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
	fact("randomized %d", !(personality(0xffffffff) & ADDR_NO_RANDOMIZE));
}

static void process(void)
{
	fact("pid %d", getpid());
	fact("ppid %d", getppid());
	fact("group %s", getpgrp() == getpid() ? "leader" : "member");
	fact("session %s", getsid(0) == getpid() ? "leader" : "member");
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	fact("terminal %s", tty >= 0 ? "yes" : "no");
	if (tty >= 0) {
		fact("terminal.foreground %s", tcgetpgrp(tty) == getpgrp() ? "yes" : "no");
		close(tty);
	}
	fact("securebits %x", (unsigned)prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
	fact("dumpable %d", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
	fact("keepcaps %d", prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
	int n = 0;
	prctl(PR_GET_CHILD_SUBREAPER, &n, 0, 0, 0);
	fact("subreaper %d", n);
	n = 0;
	prctl(PR_GET_PDEATHSIG, &n, 0, 0, 0);
	fact("pdeathsig %d", n);
	fact("thp %d", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	static const char *const timers[] = {"real", "virtual", "prof"};
	for (int i = 0; i < 3; i++) {
		struct itimerval left = {0};
		getitimer(i, &left);
		fact("timer.%s %s", timers[i], left.it_value.tv_sec || left.it_value.tv_usec ? "runs" : "off");
	}
	stack_t alt = {0};
	sigaltstack(NULL, &alt);
	fact("altstack %s", alt.ss_flags & SS_DISABLE ? "off" : "on");
	struct tms t;
	times(&t);
	fact("children %s", t.tms_cutime + t.tms_cstime > 10 ? "took time" : "took none");
}

static const char *kind(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFIFO:
		return "pipe";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "device";
	}
	return "other";
}

static void terminal(int fd)
{
	struct termios t;
	struct winsize w;
	if (tcgetattr(fd, &t) != 0)
		return;
	fact("fd.%d.termios %x %x %x %x", fd, t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
	if (ioctl(fd, TIOCGWINSZ, &w) == 0)
		fact("fd.%d.size %d %d", fd, w.ws_row, w.ws_col);
}

// Before anything is opened.
static void descriptors(void)
{
	int count = 0;
	static int open_ones[DESCRIPTORS];
	for (int fd = 0; fd < DESCRIPTORS; fd++) {
		int flags = fcntl(fd, F_GETFL);
		struct stat st;
		if (flags < 0 || fstat(fd, &st) != 0) {
			if (fd < 3)
				fact("fd.%d closed", fd);
			continue;
		}
		static const char *const access[] = {"read", "write", "both", "none"};
		fact("fd.%d %s", fd, kind(st.st_mode));
		// What can be done through a socket is decided by the peer: the mode means nothing more there.
		fact("fd.%d.access %s%s%s%s", fd, access[flags & 3], flags & O_APPEND ? " append" : "", flags & O_NONBLOCK ? " nonblock" : "",
		     flags & 010000000 ? " path" : "");
		if (st.st_nlink == 0)
			fact("fd.%d.inode of no name", fd);
		else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
			fact("fd.%d.inode %llx:%llu", fd, (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
		if (S_ISREG(st.st_mode))
			fact("fd.%d.offset %lld", fd, (long long)lseek(fd, 0, SEEK_CUR));
		if (S_ISCHR(st.st_mode) && isatty(fd))
			terminal(fd);
		else if (S_ISCHR(st.st_mode))
			fact("fd.%d.device %u:%u", fd, major(st.st_rdev), minor(st.st_rdev));
		// 5 is KCMP_FILE less its name: which of two numbers is one open file.
		for (int i = 0; i < count; i++)
			if (syscall(SYS_kcmp, getpid(), getpid(), 0, fd, open_ones[i]) == 0) {
				fact("fd.%d.same %d", fd, open_ones[i]);
				break;
			}
		open_ones[count++] = fd;
	}
	fact("fds %d", count);
}

static void deliver(void)
{
	char path[PATH_MAX + 16];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	int to = 1;
	if (n > 0) {
		path[n] = '\0';
		strcpy(strrchr(path, '/') + 1, "transcript");
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (fd >= 0)
			to = fd;
	}
	for (size_t at = 0; at < have;) {
		n = write(to, text + at, have - at);
		if (n <= 0)
			_exit(98);
		at += n;
	}
}

int main(int argc, char **argv, char **env)
{
	const char *act = getenv("PROBE");
	if (act != NULL && *act != '\0' && strncmp(act, "tell ", 5) != 0)
		return perform(act);
	descriptors();
	fact("argc %d", argc);
	strings("arg", argv);
	strings("env", env);
	status();
	limits();
	// Whatever the limit, the files below are to be opened.
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	places();
	scheduling();
	process();
	deliver();
	return act != NULL && *act != '\0' ? perform(act + 5) : 0;
}
