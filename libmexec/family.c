// libmexec: mexec.h's functions, for a program that is linked with us.
//
// There is no policy here. What execve would surely do, the stub is executed to do; for all else there is execve itself, so that each
// errno is the kernel's own. What is here may run in vfork's child or a signal handler: no allocation, no lock, no write to anything
// but the stack, and errno is as execve would leave it.
#include "mexec.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collect.h"
#include "locate.h"
#include "search.h"
#include "sure.h"
#include "wrap.h"

#define EXPORT __attribute__((visibility("default")))

// Comes back only where the stub cannot be started: the caller then goes on as if we were not there.
static void execute_stub(const char *path, char *const argv[], size_t argc, char *const envp[])
{
	struct stub_name name = locate_stub(envp);
	char stub[name.length + 1];
	memcpy(stub, name.at, name.length);
	stub[name.length] = '\0';
	const char *wrapped[argc + WRAP_EXTRA];
	wrap(wrapped, "-p", path, argv, argc);
	execve(stub, (char *const *)wrapped, envp);
}

EXPORT int mexecve(const char *path, char *const argv[], char *const envp[])
{
	int saved = errno;
	size_t argc;
	struct stat st;
	if (sure_arguments(argv, envp, &argc) && probe(path, &st) == 0 && sure_program(path, &st, argv, envp, NULL, NULL)) {
		errno = saved; // vfork's parent has it from us
		execute_stub(path, argv, argc, envp);
	}
	errno = saved;
	return execve(path, argv, envp);
}

// execvp's second attempt: a file that is no program and has no first line is a shell's.
static void execute_shell(const char *path, char *const argv[], size_t argc, char *const envp[])
{
	const char *list[argc + 2];
	list[0] = "/bin/sh";
	list[1] = path;
	memcpy(list + 2, argv + 1, argc * sizeof(*list)); // with the NULL
	mexecve(list[0], (char *const *)list, envp);
}

EXPORT int mexecvpe(const char *file, char *const argv[], char *const envp[])
{
	int saved = errno;
	size_t argc;
	char room[PATH_MAX];
	const char *path;
	struct stat st;
	if (file != NULL && sure_arguments(argv, envp, &argc) && search(file, getenv("PATH"), probe, room, &path, &st) == 0) {
		bool sure = sure_program(path, &st, argv, envp, NULL, NULL);
		errno = saved;
		if (sure) {
			execute_stub(path, argv, argc, envp);
		} else {
			execve(path, argv, envp);
			if (errno == ENOEXEC)
				execute_shell(path, argv, argc, envp);
		}
	}
	errno = saved;
	return execvpe(file, argv, envp); // its search goes on where ours had to stop, and knows the errno
}

EXPORT int mexecv(const char *path, char *const argv[])
{
	return mexecve(path, argv, environ);
}

EXPORT int mexecvp(const char *file, char *const argv[])
{
	return mexecvpe(file, argv, environ);
}

EXPORT int execvme(const char *path, char *const argv[], char *const envp[])
{
	return mexecve(path, argv, envp);
}

EXPORT int mexecxvp(const char *file, char *const argv[])
{
	return mexecvpe(file, argv, environ);
}

EXPORT int mexecl(const char *path, const char *arg, ...)
{
	COLLECT(argv, arg);
	va_end(list);
	return mexecve(path, argv, environ);
}

EXPORT int mexeclp(const char *file, const char *arg, ...)
{
	COLLECT(argv, arg);
	va_end(list);
	return mexecvpe(file, argv, environ);
}

EXPORT int mexecle(const char *path, const char *arg, ...)
{
	COLLECT(argv, arg);
	char **envp = va_arg(list, char **);
	va_end(list);
	return mexecve(path, argv, envp);
}
