// libmexec-preload.so: every symbol it puts in front of the C library's, and no decision; those are route.c's.
//
// What is here may run in vfork's child, on a stack and in memory that are still its parent's: no allocation, no lock, and no write to
// anything but the stack and what is meant for the parent (note_child). Where the stub itself cannot be started, the program is, as if we were not there.
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collect.h"
#include "handed.h"
#include "route.h"
#include "settle.h"
#include "wrap.h"

#define EXPORT __attribute__((visibility("default")))

typedef int spawn_function(pid_t *restrict, const char *restrict, const posix_spawn_file_actions_t *restrict,
			   const posix_spawnattr_t *restrict, char *const[restrict], char *const[restrict]);

static struct {
	spawn_function *posix_spawn, *posix_spawnp;
	int (*init)(posix_spawn_file_actions_t *);
	int (*adddup2)(posix_spawn_file_actions_t *, int, int);
	int (*addchdir)(posix_spawn_file_actions_t *, const char *);
	int (*addfchdir)(posix_spawn_file_actions_t *, int);
	int (*execve)(const char *, char *const[], char *const[]);
	int (*execvpe)(const char *, char *const[], char *const[]);
	int (*execvp)(const char *, char *const[]);
	int (*sigaction)(int, const struct sigaction *, struct sigaction *);
} real;

__attribute__((constructor)) static void load(void)
{
	if (real.execvpe != NULL)
		return;
	real.posix_spawn = (spawn_function *)dlsym(RTLD_NEXT, "posix_spawn");
	real.posix_spawnp = (spawn_function *)dlsym(RTLD_NEXT, "posix_spawnp");
	*(void **)&real.init = dlsym(RTLD_NEXT, "posix_spawn_file_actions_init");
	*(void **)&real.adddup2 = dlsym(RTLD_NEXT, "posix_spawn_file_actions_adddup2");
	*(void **)&real.addchdir = dlsym(RTLD_NEXT, "posix_spawn_file_actions_addchdir_np");
	*(void **)&real.addfchdir = dlsym(RTLD_NEXT, "posix_spawn_file_actions_addfchdir_np");
	*(void **)&real.execve = dlsym(RTLD_NEXT, "execve");
	*(void **)&real.execvp = dlsym(RTLD_NEXT, "execvp");
	*(void **)&real.execvpe = dlsym(RTLD_NEXT, "execvpe");
	*(void **)&real.sigaction = dlsym(RTLD_NEXT, "sigaction");
	start_routing();
}

// Another library's constructor may spawn before ours has run. Nobody has forked yet then.
#define REAL(name) (load(), real.name)

EXPORT int posix_spawn_file_actions_init(posix_spawn_file_actions_t *actions)
{
	int (*init)(posix_spawn_file_actions_t *) = REAL(init);
	note_output(actions, -1);
	return init(actions);
}

EXPORT int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int newfd)
{
	int (*adddup2)(posix_spawn_file_actions_t *, int, int) = REAL(adddup2);
	if (newfd == 1)
		note_output(actions, fd);
	return adddup2(actions, fd, newfd);
}

EXPORT int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *restrict actions, const char *restrict path)
{
	int (*addchdir)(posix_spawn_file_actions_t *, const char *) = REAL(addchdir);
	note_directories();
	return addchdir != NULL ? addchdir(actions, path) : ENOSYS;
}

EXPORT int posix_spawn_file_actions_addfchdir_np(posix_spawn_file_actions_t *actions, int fd)
{
	int (*addfchdir)(posix_spawn_file_actions_t *, int) = REAL(addfchdir);
	note_directories();
	return addfchdir != NULL ? addfchdir(actions, fd) : ENOSYS;
}

// A driver has what we tell drivers, and what is bare, as what is placed, nothing of it: to load us alone is a tenth of a program's start. The others have
// what they were given.
static size_t here_room(struct way way, char *const envp[])
{
	return is_driver(way.why) ? handed_room(envp, true) : way.bare ? plain_room(envp) : 0;
}

static char *const *here(struct way way, char *const envp[], const char **room)
{
	return is_driver(way.why) ? hand_on(envp, true, room) : plain(envp, room);
}

static int spawn_traced(struct way way, const char *path, pid_t *pid, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
			char *const argv[], char *const envp[])
{
	const char *wrapped[way.argc + WRAP_EXTRA];
	wrap(wrapped, "-t", path, argv, way.argc);
	return real.posix_spawn(pid, way.traced, actions, attributes, (char *const *)wrapped, envp);
}

// As it is; and the journal hears of it.
static int spawn_here(spawn_function *direct, struct way way, const char *path, pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
		      const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
	pid_t own; // the caller need not want to know
	if (pid == NULL)
		pid = &own;
	size_t n = here_room(way, envp);
	const char *room[n + 1];
	if (n > 0)
		envp = here(way, envp, room);
	int64_t at = way.why == KEPT_SHORT ? journal_now() : 0;
	int err = 0;
	if (way.traced == NULL || spawn_traced(way, path, pid, actions, attributes, argv, envp) != 0)
		err = direct(pid, file, actions, attributes, argv, envp);
	if (err == 0)
		note_child(*pid);
	if (err != 0 || way.why == KEPT_NOT)
		return err;
	if (way.why == KEPT_SHORT)
		note_started(*pid, way.kind, true, at);
	note_kept(way.why, *pid, getpid(), file, argv);
	return 0;
}

static int spawn(spawn_function *direct, struct way way, const char *path, pid_t *pid, const char *file,
		 const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, char *const argv[],
		 char *const envp[])
{
	const char *wrapped[way.argc + WRAP_EXTRA];
	wrap(wrapped, "-p", path, argv, way.argc);
	size_t n = handed_room(envp, false);
	const char *room[n + 1];
	int saved = errno;
	pid_t own; // the caller need not want to know
	if (pid == NULL)
		pid = &own;
	int64_t at = journal_now();
	int err = real.posix_spawn(pid, way.stub, actions, attributes, (char *const *)wrapped, n > 0 ? hand_on(envp, false, room) : envp);
	if (err == 0) {
		note_child(*pid);
		note_started(*pid, way.kind, false, at);
	}
	errno = saved;
	if (err == 0 || err == EBADF || err == EEXIST) // execve's are others: an action's own, and done twice O_EXCL finds what it has made
		return err;
	way.why = KEPT_WITHOUT_STUB;
	return spawn_here(direct, way, path, pid, file, actions, attributes, argv, envp);
}

EXPORT int posix_spawn(pid_t *restrict pid, const char *restrict path, const posix_spawn_file_actions_t *restrict actions,
		       const posix_spawnattr_t *restrict attributes, char *const argv[restrict], char *const envp[restrict])
{
	spawn_function *direct = REAL(posix_spawn);
	struct way way;
	if (!is_shell_function(actions, &way))
		way = route(path, argv, envp, false);
	stay_if_elsewhere(&way, actions, path, false);
	if (way.stub == NULL)
		return spawn_here(direct, way, path, pid, path, actions, attributes, argv, envp);
	return spawn(direct, way, path, pid, path, actions, attributes, argv, envp);
}

EXPORT int posix_spawnp(pid_t *restrict pid, const char *restrict file, const posix_spawn_file_actions_t *restrict actions,
			const posix_spawnattr_t *restrict attributes, char *const argv[restrict], char *const envp[restrict])
{
	spawn_function *direct = REAL(posix_spawnp);
	char room[PATH_MAX];
	const char *path = file;
	struct way way;
	if (!is_shell_function(actions, &way))
		way = route_along(file, argv, envp, false, room, &path);
	stay_if_elsewhere(&way, actions, file, true);
	if (way.stub == NULL)
		return spawn_here(direct, way, path, pid, file, actions, attributes, argv, envp);
	return spawn(direct, way, path, pid, file, actions, attributes, argv, envp);
}

// Comes back only where the stub cannot be started.
static void execute(const char *path, char *const argv[], struct way *way, char *const envp[])
{
	const char *wrapped[way->argc + WRAP_EXTRA];
	wrap(wrapped, "-p", path, argv, way->argc);
	size_t n = handed_room(envp, false);
	const char *room[n + 1];
	int saved = errno;
	note_child(getpid());
	note_started(getpid(), way->kind, false, journal_now());
	real.execve(way->stub, (char *const *)wrapped, n > 0 ? hand_on(envp, false, room) : envp);
	errno = saved;
	way->why = KEPT_WITHOUT_STUB;
}

// Comes back only where the stub cannot be started.
static void execute_traced(struct way way, const char *path, char *const argv[], char *const envp[])
{
	const char *wrapped[way.argc + WRAP_EXTRA];
	wrap(wrapped, "-t", path, argv, way.argc);
	int saved = errno;
	real.execve(way.traced, (char *const *)wrapped, envp);
	errno = saved;
}

// As it is; and the journal hears of it, unless it comes back.
static int execute_here(int (*direct)(const char *, char *const[], char *const[]), struct way way, const char *path, const char *file,
			char *const argv[], char *const envp[])
{
	size_t n = here_room(way, envp);
	const char *room[n + 1];
	if (n > 0)
		envp = here(way, envp, room);
	note_child(getpid());
	if (way.why == KEPT_SHORT)
		note_started(getpid(), way.kind, true, journal_now());
	uint64_t ticket = way.why != KEPT_NOT && has_journal() ? note_kept(way.why, getpid(), getppid(), file, argv) : 0;
	if (way.traced != NULL)
		execute_traced(way, path, argv, envp);
	int result = direct(file, argv, envp);
	take_back(ticket);
	return result;
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	int (*direct)(const char *, char *const[], char *const[]) = REAL(execve);
	struct way way;
	if (!executes_here(&way))
		way = route(path, argv, envp, takes_place());
	if (way.stub != NULL)
		execute(path, argv, &way, envp);
	return execute_here(direct, way, path, path, argv, envp);
}

static int execute_along(int (*direct)(const char *, char *const[], char *const[]), const char *file, char *const argv[], char *const envp[])
{
	char room[PATH_MAX];
	const char *path = file;
	struct way way;
	if (!executes_here(&way))
		way = route_along(file, argv, envp, takes_place(), room, &path);
	if (way.stub != NULL)
		execute(path, argv, &way, envp);
	return execute_here(direct, way, path, file, argv, envp);
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return execute_along(REAL(execvpe), file, argv, envp);
}

EXPORT int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

// A library behind us may stand in front of execvp and not of execvpe.
static int real_execvp(const char *file, char *const argv[], char *const envp[])
{
	return envp == environ ? real.execvp(file, argv) : real.execvpe(file, argv, envp);
}

EXPORT int execvp(const char *file, char *const argv[])
{
	load();
	return execute_along(real_execvp, file, argv, environ);
}

EXPORT int execl(const char *path, const char *arg, ...)
{
	COLLECT(argv, arg);
	va_end(list);
	return execve(path, argv, environ);
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
	COLLECT(argv, arg);
	va_end(list);
	return execvpe(file, argv, environ);
}

EXPORT int execle(const char *path, const char *arg, ...)
{
	COLLECT(argv, arg);
	char **envp = va_arg(list, char **);
	va_end(list);
	return execve(path, argv, envp);
}

EXPORT int sigaction(int sig, const struct sigaction *restrict action, struct sigaction *restrict old)
{
	int (*direct)(int, const struct sigaction *, struct sigaction *) = REAL(sigaction);
	struct sigaction room;
	int err = direct(sig, settled(sig, action, &room), old);
	if (err == 0)
		unsettled(sig, old);
	return err;
}

EXPORT int kill(pid_t pid, int sig)
{
	return was_told(pid, sig) ? 0 : syscall(SYS_kill, pid, sig);
}
