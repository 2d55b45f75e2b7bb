// Ending, and stopping, as the program did: whoever waits for this process sees what it would have seen of the program.
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "stub.h"

// struct sigaction as the kernel has it. The handler comes first on every machine that Go runs daemons on but MIPS.
struct kernel_action {
	unsigned long handler;
	unsigned long rest[7];
};

static bool action(unsigned n, const struct kernel_action *new, struct kernel_action *old)
{
	return syscall(SYS_rt_sigaction, n, new, old, sizeof(uint64_t)) == 0;
}

bool signal_ignored(unsigned n)
{
	struct kernel_action a = {0};
	return action(n, NULL, &a) && a.handler == (unsigned long)SIG_IGN;
}

void signal_default(unsigned n)
{
	struct kernel_action a = {0};
	action(n, &a, NULL);
}

uint64_t signal_mask(const uint64_t *set)
{
	uint64_t old = 0;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, set, &old, sizeof(old));
	return old;
}

// On NFS, opening the directory makes our client ask the server for it (close-to-open), so that the caller sees what the command
// wrote. Sleeping until it turns up by itself is what others do.
static void refresh_directory(void)
{
	struct stat st;
	int fd = syscall(SYS_openat, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		fstat(fd, &st);
}

void end_exited(unsigned code)
{
	refresh_directory();
	_exit(code);
}

static void die_of(unsigned n)
{
	signal_default(n);
	uint64_t open = ~signal_bit(n);
	kill(getpid(), n);
	signal_mask(&open);
}

void end_killed(unsigned n)
{
	refresh_directory();
	// The core, where there is one, is the program's and lies where it ran. A pipe as core_pattern does not heed the limit.
	struct rlimit none = {0, 0};
	struct rlimit now;
	if (getrlimit(RLIMIT_CORE, &now) == 0)
		none.rlim_max = now.rlim_max;
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	die_of(n);
	_exit(128 + n); // a signal that this process cannot die of: it is an init, or the program died of its own accord
}

void cook_terminal(void)
{
	for (int fd = 0; fd < 3; fd++) {
		struct termios t;
		if (ioctl(fd, TCGETS, &t) || t.c_lflag & ICANON || tcgetpgrp(fd) != getpgrp())
			continue;
		t.c_lflag |= ICANON | ECHO | ISIG | IEXTEN;
		t.c_iflag |= ICRNL | IXON;
		t.c_oflag |= OPOST | ONLCR;
		ioctl(fd, TCSETS, &t);
	}
}

bool stop_self(unsigned n)
{
	if (n == SIGSTOP) {
		kill(getpid(), SIGSTOP);
		return true; // always obeyed, and whoever continues us is heard through signalfd
	}
	struct kernel_action deflt = {0}, before;
	bool changed = action(n, &deflt, &before);
	uint64_t mask = signal_mask(NULL), open = mask & ~signal_bit(n);
	kill(getpid(), n);
	signal_mask(&open); // stops here
	signal_mask(&mask);
	if (changed)
		action(n, &before, NULL);
	uint64_t pending = 0;
	syscall(SYS_rt_sigpending, &pending, sizeof(pending));
	return pending & signal_bit(SIGCONT);
}
