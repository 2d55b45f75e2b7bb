// What make does when it is told to end is right for recipes on its own machine: it deletes their targets, and then waits for them. The kernel
// has ended them by then. One on another node hears of it a message later, and may open its target once more meanwhile; half made, and newer than all it
// depends on, that would be there for the next build. So make's handler is called when what it has started has ended, or will not.
//
// A recipe's shell may be dead of the signal, and what it has started not: it is to end with the build, and where it is ended after make has deleted
// the target, that may be there again. So make takes in what is left behind, by its recipes as by anybody's below them, and ends it first.
//
// All of it runs in a signal handler: system calls only.
#include "settle.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "route.h"

// Longer is no use: a recipe that has something to do first, or ignores it, makes make wait anyway.
enum { LONGEST_MS = 400, MOMENT_MS = 100, PAUSE_MS = 1 };

static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
static void (*volatile handler[SIGTERM + 1])(int);
static volatile sig_atomic_t told; // our children have had SIGTERM

// The children that make has started. Each lies at its number or close behind it; with more than there is room for, one that lives may be forgotten.
enum { STARTED = 4096, CLOSE = 16 };
static pid_t started[STARTED];
static bool notes; // there is a make's handler to ask for them
static bool noted; // a make that forks says nothing to its own memory: all of its children are its own then

static bool ends(int sig)
{
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		if (ending[i] == sig)
			return true;
	return false;
}

static pid_t *place(pid_t pid, int i)
{
	return &started[((unsigned)pid + i) % STARTED];
}

void note_child(pid_t pid)
{
	if (!notes)
		return;
	int saved = errno;
	pid_t *to = place(pid, 0);
	for (int i = 0; i < CLOSE; i++) {
		pid_t there = *place(pid, i);
		if (there == 0 || there == pid || syscall(SYS_kill, there, 0) != 0) {
			to = place(pid, i);
			break;
		}
	}
	errno = saved;
	*to = pid;
	noted = true;
}

static bool is_own(pid_t pid)
{
	for (int i = 0; i < CLOSE; i++)
		if (*place(pid, i) == pid)
			return true;
	return !noted;
}

static bool lives(pid_t pid)
{
	siginfo_t info = {0};
	return waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

// make ends without a word to its $(shell), and does not wait for it. A recipe that has put its output into a pipe looks like one: it is told by make.
static bool is_function(pid_t pid)
{
	char name[32] = "/proc/", *at = name + strlen(name);
	pid_t unit = 1;
	while (pid / unit >= 10)
		unit *= 10;
	for (; unit > 0; unit /= 10)
		*at++ = '0' + pid / unit % 10;
	strcpy(at, "/fd/1");
	struct stat st;
	return stat(name, &st) == 0 && is_captured(&st);
}

enum { OWN = 1, LEFT = 2 };

// children sends signals, 0 for none, to each child of make's own and to each that was left behind, and returns of which kinds some live. A $(shell) is neither.
static int children(int to_own, int to_left)
{
	int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	int some = 0;
	char buf[1024];
	pid_t pid = 0;
	ssize_t n;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9') {
				pid = pid * 10 + (buf[i] - '0');
				continue;
			}
			bool own = pid > 0 && is_own(pid);
			if (pid > 0 && !(own && is_function(pid))) {
				int sig = own ? to_own : to_left;
				if (sig != 0)
					syscall(SYS_kill, pid, sig);
				if (lives(pid))
					some |= own ? OWN : LEFT;
			}
			pid = 0;
		}
	close(fd);
	return some;
}

static long ms(void)
{
	struct timespec t = {0};
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int look_again(int to_left)
{
	nanosleep(&(struct timespec){0, PAUSE_MS * 1000000L}, NULL);
	return children(0, to_left);
}

static void settle(int sig)
{
	int saved = errno;
	long late = ms() + LONGEST_MS;
	int some = children(sig == SIGTERM ? SIGTERM : 0, 0); // which make would do itself just before it deletes
	told = sig == SIGTERM;
	while (some & OWN && ms() < late)
		some = look_again(0);
	for (long until = ms() + MOMENT_MS; some == LEFT && ms() < until;) // for what ends by itself, at the end of its pipe say
		some = look_again(0);
	for (long until = ms() + MOMENT_MS; some & LEFT && ms() < until;)
		some = look_again(SIGKILL);
	errno = saved;
	handler[sig](sig);
	told = 0;
}

const struct sigaction *settled(int sig, const struct sigaction *action, struct sigaction *room)
{
	if (action == NULL || !ends(sig) || action->sa_flags & SA_SIGINFO || action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN ||
	    !is_make())
		return action;
	if (!notes)
		notes = prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
	handler[sig] = action->sa_handler;
	*room = *action;
	room->sa_handler = settle;
	return room;
}

void unsettled(int sig, struct sigaction *old)
{
	if (old != NULL && ends(sig) && old->sa_handler == settle)
		old->sa_handler = handler[sig];
}

bool was_told(pid_t pid, int sig)
{
	return told && sig == SIGTERM && pid > 0 && pid != getpid() && !is_function(pid);
}
