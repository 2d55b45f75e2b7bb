// What make does when it is told to end is right for recipes on its own machine: it deletes their targets, and then waits for them. The kernel
// has ended them by then. One on another node hears of it a message later, and may open its target once more meanwhile; half made, and newer than all it
// depends on, that would be there for the next build. So make's handler is called when what it has started has ended, or will not.
//
// All of it runs in a signal handler: system calls only.
#include "settle.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "route.h"

// Longer is no use: a recipe that has something to do first, or ignores it, makes make wait anyway.
enum { LONGEST_MS = 400, PAUSE_MS = 1 };

static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
static void (*volatile own[SIGTERM + 1])(int);
static volatile sig_atomic_t told; // our children have had SIGTERM

static bool ends(int sig)
{
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		if (ending[i] == sig)
			return true;
	return false;
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

// Looks at each child of make's but a $(shell). To tell them is to send them SIGTERM, which make would do itself just before it deletes.
static bool have_children(bool tell)
{
	int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool any = false;
	char buf[1024];
	pid_t pid = 0;
	ssize_t n;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9') {
				pid = pid * 10 + (buf[i] - '0');
				continue;
			}
			if (pid > 0 && !is_function(pid)) {
				if (tell)
					syscall(SYS_kill, pid, SIGTERM);
				any = lives(pid) || any;
			}
			pid = 0;
		}
	close(fd);
	return any;
}

static long ms(void)
{
	struct timespec t = {0};
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void settle(int sig)
{
	int saved = errno;
	long late = ms() + LONGEST_MS;
	bool some = have_children(sig == SIGTERM);
	told = sig == SIGTERM;
	while (some && ms() < late) {
		nanosleep(&(struct timespec){0, PAUSE_MS * 1000000L}, NULL);
		some = have_children(false);
	}
	errno = saved;
	own[sig](sig);
	told = 0;
}

const struct sigaction *settled(int sig, const struct sigaction *action, struct sigaction *room)
{
	if (action == NULL || !ends(sig) || action->sa_flags & SA_SIGINFO || action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN ||
	    !is_make())
		return action;
	own[sig] = action->sa_handler;
	*room = *action;
	room->sa_handler = settle;
	return room;
}

void unsettled(int sig, struct sigaction *old)
{
	if (old != NULL && ends(sig) && old->sa_handler == settle)
		old->sa_handler = own[sig];
}

bool was_told(pid_t pid, int sig)
{
	return told && sig == SIGTERM && pid > 0 && pid != getpid() && !is_function(pid);
}
