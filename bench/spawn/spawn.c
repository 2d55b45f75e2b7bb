// spawn COUNT INFLIGHT PATH [ARG...]
// Runs a command COUNT times, INFLIGHT at once, and prints the nanoseconds that all of it took. In C, because the loop is
// the ruler: a shell's or Go's own cost per process would be a good part of what is measured.
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void die(const char *what, const char *path, const char *why)
{
	fprintf(stderr, "spawn: %s %s: %s\n", what, path, why);
	exit(1);
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: spawn COUNT INFLIGHT PATH [ARG...]\n");
		return 2;
	}
	long count = atol(argv[1]), inflight = atol(argv[2]), started = 0, ended = 0;
	char **child = argv + 3;

	// The commands may print; our figure goes where they cannot.
	int out = fcntl(1, F_DUPFD_CLOEXEC, 3), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (out < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		die("open", "/dev/null", strerror(errno));
	int64_t start = now();

	while (ended < count) {
		if (started < count && started - ended < inflight) {
			pid_t pid;
			int err = posix_spawn(&pid, child[0], NULL, NULL, child, environ);
			if (err)
				die("run", child[0], strerror(err));
			started++;
			continue;
		}
		int status;
		if (waitpid(-1, &status, 0) < 0)
			die("wait for", child[0], strerror(errno));
		if (status != 0) {
			fprintf(stderr, "spawn: %s: wait status %#x\n", child[0], status);
			return 1;
		}
		ended++;
	}
	dprintf(out, "%lld\n", (long long)(now() - start));
	return 0;
}
