// start_bench N PROGRAM [ARG...] [-- PROGRAM ...]...: what each costs from posix_spawn to the end of wait, taken in turns, so that
// whatever else the machine does hits all of them. With --resident STUB: what a stub holds while it waits for a job elsewhere.
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

extern char **environ;

enum { KINDS = 12 };

static double microseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static posix_spawn_file_actions_t quiet;

static double start(char **argv)
{
	pid_t pid;
	int status;
	double before = microseconds();
	if (posix_spawn(&pid, argv[0], &quiet, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) != pid || status != 0) {
		fprintf(stderr, "%s: cannot be started, or failed\n", argv[0]);
		exit(1);
	}
	return microseconds() - before;
}

static void resident(const char *stub)
{
	char directory[] = "/tmp/mexec-bench-XXXXXX", file[64], line[256];
	stub_path = realpath(stub, NULL);
	if (stub_path == NULL || mkdtemp(directory) == NULL || chdir(directory) != 0)
		exit(1);
	int l = listen_at("sock");
	pid_t pid = run_stub(LIST("mexec", "/bin/true"), LIST("MEXEC_SOCKET=sock"), NULL);
	int c = accept_at(l);
	receive(c);
	answer_text(c, FRAME_SENT, "n2: why");
	await(holds_signals, pid);
	snprintf(file, sizeof(file), "/proc/%d/smaps_rollup", pid);
	FILE *f = fopen(file, "r");
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "Rss:", 4) == 0 || strncmp(line, "Pss:", 4) == 0 || strncmp(line, "Private_Dirty:", 14) == 0)
			printf("  %s", line);
	fclose(f);
	answer_number(c, FRAME_EXITED, 0);
	ended(pid);
	for (const char *const *name = (const char *const[]){"sock", "out", "err", directory, NULL}; *name != NULL; name++)
		remove(*name);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--resident") == 0) {
		resident(argv[2]);
		return 0;
	}
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", 1, 0);
	int rounds = argc > 2 ? atoi(argv[1]) : 0, kinds = 0;
	char **kind[KINDS];
	double *times[KINDS];
	for (int i = 2; i < argc && rounds > 0; i++) {
		if (kinds == KINDS)
			return 2;
		times[kinds] = calloc(rounds, sizeof(double));
		kind[kinds++] = argv + i;
		while (i < argc && strcmp(argv[i], "--") != 0)
			i++;
		argv[i] = NULL;
	}
	if (kinds == 0)
		return 2;
	for (int r = 0; r < rounds; r++)
		for (int k = 0; k < kinds; k++)
			times[k][r] = start(kind[k]);
	for (int k = 0; k < kinds; k++)
		qsort(times[k], rounds, sizeof(double), by_size);
	double base = times[0][rounds / 2];
	printf("%8s %8s %6s\n", "median", "p10", "ratio");
	for (int k = 0; k < kinds; k++) {
		printf("%5.0f us %5.0f us %6.2f  ", times[k][rounds / 2], times[k][rounds / 10], times[k][rounds / 2] / base);
		for (char **a = kind[k]; *a != NULL; a++)
			printf(" %s", *a);
		printf("\n");
	}
	return 0;
}
