/* record - a SHELL for make that notes for each recipe line whose it was and what it took
 *
 *     make 'SHELL=/dir/record' '.SHELLFLAGS=$@ -c'
 *
 * It appends a line of its own to the file that RECORD names: its id, that of the recipe line that it was started from (0: none), the pid of its make, when it began
 * and ended, its CPU seconds with those of all that it started, its directory and its target; separated by tabs. What has no target is $(shell), and is not noted. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static double seconds(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }

/* is_function says whether make calls us for $(shell): make 4.3 gives it the environment that it was called with itself, so MAKELEVEL is what
 * it was there. */
static int is_function(void)
{
	const char *level = getenv("MAKELEVEL"), *above = getenv("RECORD_LEVEL");
	return !strcmp(level ? level : "0", above ? above : "0");
}

int main(int argc, char **argv)
{
	const char *file = getenv("RECORD"), *parent = getenv("RECORD_ID");
	const char *target = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
	char **rest = target ? argv + 1 : argv;
	rest[0] = "/bin/sh";
	if (!file || !target || is_function()) {
		execv("/bin/sh", rest);
		return 127;
	}
	double began = now();
	char id[32], line[8192], *cwd = getcwd(NULL, 0);
	snprintf(id, sizeof id, "%d", (int)getpid());
	pid_t child = fork();
	if (child < 0) {
		perror("record: fork");
		return 127;
	}
	if (!child) {
		setenv("RECORD_ID", id, 1);
		setenv("RECORD_LEVEL", getenv("MAKELEVEL"), 1);
		execv("/bin/sh", rest);
		_exit(127);
	}
	int status;
	struct rusage used;
	while (wait4(child, &status, 0, &used) < 0)
		if (errno != EINTR)
			return 127;
	int n = snprintf(line, sizeof line, "%s\t%s\t%d\t%.6f\t%.6f\t%.6f\t%s\t%s\n", id, parent ? parent : "0", (int)getppid(), began, now(),
			 seconds(used.ru_utime) + seconds(used.ru_stime), cwd ? cwd : "", target);
	int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, line, n) != n)
		perror("record: write");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
