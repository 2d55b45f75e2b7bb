// Runs the tests, or those whose names contain the argument.
#include <ftw.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"

static struct test *tests;

void register_test(struct test *t)
{
	t->next = tests;
	tests = t;
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static bool run(const struct test *t)
{
	char directory[] = "/tmp/mexec-test-XXXXXX";
	if (mkdtemp(directory) == NULL)
		return false;
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		alarm(60); // a test that hangs is a test that fails
		if (chdir(directory) != 0)
			_exit(1);
		t->run();
		exit(0);
	}
	int status = ended(pid);
	nftw(directory, drop, 16, FTW_DEPTH | FTW_PHYS);
	printf("%s %s\n", status == 0 ? "ok  " : "FAIL", t->name);
	return status == 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	stub_path = realpath(getenv("STUB"), NULL);
	preload_path = realpath(getenv("PRELOAD"), NULL);
	vfork_path = realpath(getenv("VFORK"), NULL);
	capture_path = realpath(getenv("CAPTURE"), NULL);
	musl_path = realpath(getenv("MUSL"), NULL);
	other_path = realpath(getenv("OTHER"), NULL);
	static_path = realpath(getenv("STATIC"), NULL);
	waits_path = realpath(getenv("WAITS"), NULL);
	load_path = realpath(getenv("LOAD"), NULL);
	family_paths = getenv("FAMILY");
	if (stub_path == NULL || preload_path == NULL || vfork_path == NULL || musl_path == NULL || other_path == NULL || static_path == NULL || waits_path == NULL || load_path == NULL || family_paths == NULL) {
		fprintf(stderr, "STUB, PRELOAD, VFORK, MUSL, OTHER, STATIC, WAITS, LOAD and FAMILY must name what is to be tested\n");
		return 2;
	}
	// Whatever started us may ignore some: glibc's posix_spawn does so for the two that it hides.
	for (int n = 1; n <= 64; n++)
		syscall(SYS_rt_sigaction, n, (unsigned long[8]){0}, NULL, 8);
	syscall(SYS_close_range, 3, ~0u, 0); // and leave some open
	signal(SIGPIPE, SIG_IGN);
	int failed = 0;
	for (struct test *t = tests; t != NULL; t = t->next)
		if (argc < 2 || strstr(t->name, argv[1]) != NULL)
			failed += !run(t);
	if (failed > 0)
		printf("%d failed\n", failed);
	return failed > 0;
}
