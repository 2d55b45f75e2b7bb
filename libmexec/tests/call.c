// Each way in which a C program starts another.
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef WITH_LIBMEXEC // a program that was compiled with -Dexecve=mexecve and so on
#include "../mexec.h"
#define execve mexecve
#define execv mexecv
#define execvp mexecvp
#define execvpe mexecvpe
#define execl mexecl
#define execlp mexeclp
#define execle mexecle
#endif

extern char **environ;

// Ends as the child did, so that a test sees the same of a caller that waits as of one that became the program.
_Noreturn static void end_as(int status)
{
	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	int n = WTERMSIG(status);
	unsigned long deflt[4] = {0};
	syscall(SYS_rt_sigaction, n, deflt, NULL, 8);
	unsigned long open = 0;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &open, NULL, 8);
	kill(getpid(), n);
	_exit(97);
}

static int wait_for(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return errno;
	end_as(status);
}

static int in_child(const struct call *c, int vforked)
{
	volatile int failed = 0;
	int seen[2];
	if (!vforked && pipe2(seen, O_CLOEXEC) != 0)
		return errno;
	pid_t pid = vforked ? vfork() : fork();
	if (pid == 0) {
		execve(c->path, c->argv, c->env);
		int err = errno;
		if (vforked)
			failed = err;
		else if (write(seen[1], &err, sizeof(err)) < 0)
			_exit(97);
		_exit(98);
	}
	if (!vforked) {
		int err = 0;
		close(seen[1]);
		if (read(seen[0], &err, sizeof(err)) == sizeof(err))
			failed = err;
		close(seen[0]);
	}
	return failed ? failed : wait_for(pid);
}

// The variadic ones take up to twelve arguments here; the list has room and is NULL behind its end.
#define TWELVE(a) (a)[0], (a)[1], (a)[2], (a)[3], (a)[4], (a)[5], (a)[6], (a)[7], (a)[8], (a)[9], (a)[10], (a)[11], NULL

int call(const struct call *c)
{
	const char *way = c->way;
	environ = c->env; // for those that take no environment
	const char *slash = strrchr(c->path, '/');
	const char *file = slash != NULL ? slash + 1 : c->path; // for those that search PATH
	errno = 0;
	if (strcmp(way, "execve") == 0)
		execve(c->path, c->argv, c->env);
	else if (strcmp(way, "execv") == 0)
		execv(c->path, c->argv);
	else if (strcmp(way, "execvp") == 0)
		execvp(file, c->argv);
	else if (strcmp(way, "execvpe") == 0)
		execvpe(file, c->argv, c->env);
	else if (strcmp(way, "execl") == 0)
		execl(c->path, TWELVE(c->argv));
	else if (strcmp(way, "execlp") == 0)
		execlp(file, TWELVE(c->argv));
	else if (strcmp(way, "execle") == 0) {
		// The environment stands right behind the NULL.
		char **a = c->argv;
		if (a[1] == NULL)
			execle(c->path, a[0], NULL, c->env);
		else if (a[2] == NULL)
			execle(c->path, a[0], a[1], NULL, c->env);
		else if (a[7] == NULL)
			execle(c->path, a[0], a[1], a[2], a[3], a[4], a[5], a[6], NULL, c->env);
		else
			return ENOSYS;
	} else if (strcmp(way, "fexecve") == 0 || strcmp(way, "execveat") == 0) {
		int fd = open(c->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return errno;
		if (strcmp(way, "fexecve") == 0)
			fexecve(fd, c->argv, c->env);
		else
			execveat(fd, "", c->argv, c->env, AT_EMPTY_PATH);
	} else if (strcmp(way, "posix_spawn") == 0 || strcmp(way, "posix_spawnp") == 0) {
		pid_t pid;
		environ = (char *[]){NULL}; // make hands an environment that is not its own to what it spawns
		int err;
		if (strcmp(way, "posix_spawn") == 0) {
			err = posix_spawn(&pid, c->path, NULL, NULL, c->argv, c->env);
		} else {
			environ = c->env; // PATH is looked for in it
			char *copy[1024] = {NULL};
			for (int i = 0; i < 1023 && c->env[i] != NULL; i++)
				copy[i] = c->env[i];
			err = posix_spawnp(&pid, file, NULL, NULL, c->argv, copy);
		}
		return err != 0 ? err : wait_for(pid);
	} else if (strcmp(way, "fork") == 0) {
		return in_child(c, 0);
	} else if (strcmp(way, "vfork") == 0) {
		return in_child(c, 1);
	} else if (strcmp(way, "system") == 0) {
		int status = system(c->argv[0]);
		if (status < 0)
			return errno;
		end_as(status);
	} else if (strcmp(way, "popen") == 0) {
		FILE *f = popen(c->argv[0], "r");
		if (f == NULL)
			return errno;
		for (int b = getc(f); b != EOF; b = getc(f))
			putchar(b);
		fflush(stdout);
		end_as(pclose(f));
	} else {
		return ENOSYS;
	}
	return errno;
}
