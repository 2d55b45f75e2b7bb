// What the probe does when it is told to: the ways in which a program ends, speaks and hears.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

enum { SIGNALS = 64 };

// The kernel's own: a libc keeps some signals to itself. SA_RESTORER is needed on x86 only where a handler returns.
struct kernel_action {
	unsigned long handler, flags, restorer;
	uint64_t mask;
};

static void disposition(int n, unsigned long handler)
{
	struct kernel_action a = {.handler = handler};
	syscall(SYS_rt_sigaction, n, &a, NULL, 8);
}

static uint64_t all_blocked(void)
{
	uint64_t all = ~0ull, old = 0;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, 8);
	return old;
}

static void say(const char *format, long n)
{
	char line[64];
	int length = snprintf(line, sizeof(line), format, n);
	if (write(1, line, length) < 0)
		_exit(97);
}

static int die(int n)
{
	struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	disposition(n, 0);
	uint64_t open = 0;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &open, NULL, 8);
	kill(getpid(), n);
	return 96; // it was no deadly one
}

// Waits for each signal by number, however it was blocked or ignored before, and says which came. The last one is SIGTERM.
static int hear(void)
{
	all_blocked();
	for (int n = 1; n <= SIGNALS; n++)
		disposition(n, 0);
	say("ready\n", 0);
	for (;;) {
		uint64_t all = ~0ull & ~(1ull << (SIGKILL - 1)) & ~(1ull << (SIGSTOP - 1));
		siginfo_t info;
		int n = syscall(SYS_rt_sigtimedwait, &all, &info, NULL, 8);
		if (n < 0)
			continue;
		say("signal %ld\n", n);
		if (n == SIGTERM)
			return 0;
	}
}

// What is pending when the program begins.
static int pending(void)
{
	uint64_t set = 0;
	for (int i = 0; i < 200; i++) { // it may still be on its way: the caller raised it a moment ago
		syscall(SYS_rt_sigpending, &set, 8);
		if (set != 0)
			break;
		nanosleep(&(struct timespec){0, 10000000}, NULL);
	}
	for (int n = 1; n <= SIGNALS; n++)
		if (set >> (n - 1) & 1)
			say("pending %ld\n", n);
	return 0;
}

static int spill(long long size)
{
	static char block[64 << 10];
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = i * 7 + (i >> 8);
	for (long long left = size; left > 0;) {
		ssize_t n = write(1, block, left < (long long)sizeof(block) ? left : (long long)sizeof(block));
		if (n < 0)
			return 95;
		left -= n;
	}
	return 0;
}

// Writes until it hears that nobody reads any more: by the error, or by the signal that kills it.
static int until_broken(void)
{
	static char block[4096];
	for (int i = 0; i < 100000; i++)
		if (write(1, block, sizeof(block)) < 0)
			return errno == EPIPE ? 32 : 94;
	return 93;
}

static int interleave(int lines)
{
	char line[32];
	for (int i = 0; i < lines; i++) {
		int n = snprintf(line, sizeof(line), "%d\n", i);
		if (write(1 + i % 2, line, n) != n)
			return 92;
	}
	return 0;
}

static int copy(size_t most)
{
	char block[4096];
	while (most > 0) {
		ssize_t n = read(0, block, most < sizeof(block) ? most : sizeof(block));
		if (n < 0)
			return errno;
		if (n == 0)
			return 0;
		most -= n;
		if (write(1, block, n) != n)
			return 91;
	}
	return 0;
}

// One line from descriptor n, one byte at a time as a shell's read does, then "got " and the line on descriptor 1.
static int line_of(int n)
{
	char c, line[256];
	size_t have = 0;
	while (have < sizeof(line) - 1 && read(n, &c, 1) == 1 && c != '\n')
		line[have++] = c;
	line[have] = '\0';
	return printf("got %s\n", line) < 0 || fflush(stdout) != 0 ? 90 : 0;
}

static int on_descriptor(int n, const char *what)
{
	if (write(n, what, strlen(what)) < 0)
		return errno;
	return 0;
}

// A tree of three that waits to be killed. The last of them says when all are there: fork(3) blocks signals, and one that comes to the group
// meanwhile ends the parent, not the child it is about to have.
_Noreturn static void tree(void)
{
	if (fork() == 0 && fork() == 0)
		say("ready\n", 0);
	for (;;)
		pause();
}

int perform(const char *act)
{
	char verb[32] = "";
	long long n = 0;
	sscanf(act, "%31s %lld", verb, &n);
	if (strcmp(verb, "exit") == 0)
		return n;
	if (strcmp(verb, "die") == 0)
		return die(n);
	if (strcmp(verb, "hear") == 0)
		return hear();
	if (strcmp(verb, "pending") == 0)
		return pending();
	if (strcmp(verb, "stop") == 0) {
		say("ready\n", 0);
		kill(getpid(), n);
		say("again\n", 0);
		return 7;
	}
	if (strcmp(verb, "wait") == 0) {
		say("ready\n", 0);
		for (;;)
			pause();
	}
	if (strcmp(verb, "spill") == 0)
		return spill(n);
	if (strcmp(verb, "until-broken") == 0)
		return until_broken();
	if (strcmp(verb, "interleave") == 0)
		return interleave(n);
	if (strcmp(verb, "copy") == 0)
		return copy(n);
	if (strcmp(verb, "line") == 0)
		return line_of(n);
	if (strcmp(verb, "write") == 0)
		return on_descriptor(n, "written\n");
	if (strcmp(verb, "seek") == 0)
		return lseek(0, n, SEEK_SET) == n ? copy(10) : errno;
	if (strcmp(verb, "sees") == 0)
		return access(getenv("SEES"), F_OK) != 0;
	if (strcmp(verb, "tree") == 0)
		tree();
	return 89;
}
