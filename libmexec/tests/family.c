// Calls each function of mexec.h in vfork's child, and its twin of the C library, with the same arguments: what becomes of the child, and
// what of the parent, must be the same.
//
//	family ways COMMAND    sh -c COMMAND by each function
//	family blind COMMAND   the same without a look at memory, for valgrind
//	family twins           the files that family_test.c has laid out
//	family handler COMMAND sh -c COMMAND out of a signal handler on a small stack of its own
//
// Exit status 0: as it should be; else stderr says what was not.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../mexec.h"

extern char **environ;

static const char *const names[] = {"mexecve",	"execvme",  "mexecv",	"mexecl", "mexecle",
				    "mexecvp",	"mexecvpe", "mexecxvp", "mexeclp"};
enum { WAYS = 9, SEARCHING = 5, UNSET = 4242 };

static bool blind;

static void call(int way, bool ours, const char *name, char **argv, char **env)
{
	switch (way) {
	case 0:
		(ours ? mexecve : execve)(name, argv, env);
		break;
	case 1:
		(ours ? execvme : execve)(name, argv, env);
		break;
	case 2:
		(ours ? mexecv : execv)(name, argv);
		break;
	case 3:
		(ours ? mexecl : execl)(name, argv[0], argv[1], argv[2], argv[3], NULL);
		break;
	case 4:
		(ours ? mexecle : execle)(name, argv[0], argv[1], argv[2], argv[3], NULL, env);
		break;
	case 5:
		(ours ? mexecvp : execvp)(name, argv);
		break;
	case 6:
		(ours ? mexecvpe : execvpe)(name, argv, env);
		break;
	case 7:
		(ours ? mexecxvp : execvp)(name, argv);
		break;
	case 8:
		(ours ? mexeclp : execlp)(name, argv[0], argv[1], argv[2], argv[3], NULL);
		break;
	}
}

// A sum over all memory that can be written, but the stack, which is vfork's child's own. By system calls only: stdio would change it.
static uint64_t memory(void)
{
	uint64_t sum = 14695981039346656037u;
#ifndef __SANITIZE_ADDRESS__
	if (blind)
		return 0;
	char maps[1 << 16];
	size_t length = 0;
	ssize_t n;
	int fd = open("/proc/self/maps", O_RDONLY);
	while ((n = read(fd, maps + length, sizeof(maps) - 1 - length)) > 0)
		length += n;
	close(fd);
	maps[length] = '\0';
	for (char *line = maps, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		char *at;
		const uint64_t *from = (const uint64_t *)strtoul(line, &at, 16), *to = (const uint64_t *)strtoul(at + 1, &at, 16);
		if (at[1] == 'r' && at[2] == 'w' && strstr(at, "[stack]") == NULL)
			for (; from < to; from++)
				sum = (sum ^ *from) * 1099511628211u;
	}
#endif
	return sum;
}

struct outcome {
	int err;    // of the call, 0: it did not return
	int status; // of the child, else
	int kept;   // errno as the parent finds it
	bool intact;
};

static struct outcome outcome(int way, bool ours, const char *name, char **argv, char **env)
{
	static int *err; // valgrind's and ASan's vfork is fork
	if (err == NULL)
		err = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct outcome o = {0};
	*err = 0;
	errno = UNSET;
	uint64_t before = ours ? memory() : 0;
	pid_t pid = vfork();
	if (pid == 0) {
		call(way, ours, name, argv, env);
		*err = errno;
		_exit(0);
	}
	o.kept = errno;
	o.err = *err;
	*err = 0;
	errno = UNSET;
	o.intact = !ours || memory() == before;
	while (waitpid(pid, &o.status, 0) != pid)
		;
	return o;
}

static int ways(char *command, char **env)
{
	int bad = 0;
	for (int way = 0; way < WAYS; way++) {
		char *argv[] = {"sh", "-c", command, (char *)names[way], NULL};
		struct outcome o = outcome(way, true, way < SEARCHING ? "/bin/sh" : "sh", argv, env);
		if (o.err != 0 || o.status != 5 << 8 || o.kept != UNSET || !o.intact) {
			fprintf(stderr, "%s: error %d, status %x, errno %d, memory %s\n", names[way], o.err, o.status, o.kept,
				o.intact ? "same" : "CHANGED");
			bad = 1;
		}
	}
	return bad;
}

static int compare(int way, const char *name, const char *what, char **argv, char **env)
{
	struct outcome ours = outcome(way, true, name, argv, env), twin = outcome(way, false, name, argv, env);
	// A search that finds something leaves the errno of the places before it; ours need not.
	bool kept = ours.kept == twin.kept || (ours.err == 0 && ours.kept == UNSET && way >= SEARCHING);
	if (ours.err == twin.err && ours.status == twin.status && kept && ours.intact)
		return 0;
	fprintf(stderr, "%s(\"%.50s\") %s: %s, status %x, errno kept %d, memory %s; without m: %s, status %x, errno kept %d\n", names[way], name, what,
		strerror(ours.err), ours.status, ours.kept, ours.intact ? "same" : "CHANGED", strerror(twin.err), twin.status, twin.kept);
	return 1;
}

static char *repeated(char c, size_t n)
{
	char *s = malloc(n + 1);
	memset(s, c, n);
	s[n] = '\0';
	return s;
}

static char **many(size_t n, char *each)
{
	char **list = calloc(n + 1, sizeof(*list));
	for (size_t i = 0; i < n; i++)
		list[i] = each;
	return list;
}

static int twins(char **env)
{
	int busy = open("busy", O_WRONLY | O_CLOEXEC), bad = 0;
	char *probe[] = {"x", NULL};
	bool can_ask = syscall(SYS_execveat, AT_FDCWD, "/bin/true", probe, env, 0x10000) == 0; // AT_EXECVE_CHECK
	char by_number[32];
	snprintf(by_number, sizeof(by_number), "/dev/fd/%d", open("/bin/true", O_RDONLY | O_CLOEXEC));
	const char *files[] = {"./none", "./plain", "./text", "./empty", ".", "/", "./plain/x", "", "./loop", "./dangling",
			       "./no-interpreter", "./plain-interpreter", "./directory-interpreter", "./nested1", "./nested5", "./nested6",
			       "./with-argument", "./blank", "./no-newline", "./long-line", "./nul", "./relative", "./unreadable",
			       "./no-loader", "./text-loader", "./half", "./foreign", "./fifo", "/dev/null", "/bin/true", "./noexec/true",
			       "/proc/self/exe", "/proc/thread-self/exe", "./self-interpreter", by_number, repeated('/', 5000),
			       can_ask ? "./busy" : "./none", can_ask ? "./busy-interpreter" : "./none", repeated('x', 300)};
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		for (int way = 0; way < WAYS; way++) {
			char *argv[] = {"name", "a", "", "c d", NULL};
			bad |= compare(way, files[i], "", argv, env);
		}
	const char *along[] = {"none", "true", "denied", "both", "directory", "textual", "broken", "empty", "other/true", repeated('x', 255),
			       repeated('x', 256)};
	for (size_t i = 0; i < sizeof(along) / sizeof(*along); i++)
		for (int way = SEARCHING; way < WAYS; way++) {
			char *argv[] = {"name", "a", "", "c d", NULL};
			bad |= compare(way, along[i], "along PATH", argv, env);
		}
	// Around each limit: what fits without us must run, what does not must be refused.
	char *long_one = repeated('a', (128 << 10) - 1), *too_long = repeated('a', 128 << 10), *kilo = repeated('a', 1023);
	char *one[] = {"true", long_one, NULL}, *over[] = {"true", too_long, NULL}, *name[] = {too_long, NULL};
	bad |= compare(0, "/bin/true", "a long argument", one, env);
	bad |= compare(0, "/bin/true", "too long an argument", over, env);
	bad |= compare(0, "/bin/true", "too long a name", name, env);
	bad |= compare(0, "/bin/true", "too long a variable", probe, over);
	for (size_t n = 2026; n < 2036; n++) {
		bad |= compare(0, "/bin/true", "many arguments", many(n, kilo), env);
		bad |= compare(0, "./with-argument", "many variables", probe, many(n, kilo));
	}
	bad |= compare(0, "/bin/true", "very many arguments", many(70000, "a"), env);
	bad |= compare(0, "./none", "no arguments", (char *[]){NULL}, env);
	bad |= compare(0, "./plain", "no environment", probe, NULL);
	bad |= compare(0, "/bin/true", "no environment", probe, NULL);
	bad |= compare(0, (const char *)8, "in no memory", probe, env);
	close(busy);
	return bad;
}

static char *handler_argv[] = {"sh", "-c", NULL, NULL};
static volatile int handler_errno;

static void handler(int sig)
{
	if (sig == SIGUSR1) {
		mexecve("./none", handler_argv, environ);
		handler_errno = errno;
	} else {
		mexecve("/bin/sh", handler_argv, environ);
	}
}

static int in_handler(char *command)
{
	handler_argv[2] = command;
	sigaltstack(&(stack_t){.ss_sp = malloc(16 << 10), .ss_size = 16 << 10}, NULL);
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	raise(SIGUSR1);
	if (handler_errno != ENOENT) {
		fprintf(stderr, "in the handler: %s\n", strerror(handler_errno));
		return 1;
	}
	raise(SIGUSR2);
	return 1;
}

int main(int argc, char **argv)
{
	blind = argc > 2 && strcmp(argv[1], "blind") == 0;
	if (blind || (argc > 2 && strcmp(argv[1], "ways") == 0))
		return ways(argv[2], environ);
	if (argc > 1 && strcmp(argv[1], "twins") == 0)
		return twins(environ);
	if (argc > 2 && strcmp(argv[1], "handler") == 0)
		return in_handler(argv[2]);
	return 2;
}
