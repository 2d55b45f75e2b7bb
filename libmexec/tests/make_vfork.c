// Starts its first argument's command by every function that the preload stands in front of, as make-vfork: a driver by its name.
// Exit status 0: each command ended with status 5, and neither errno nor the preload's memory nor the heap was touched.
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static uint64_t memory(void)
{
	static char line[4096], path[4096];
	uint64_t sum = 14695981039346656037u;
	FILE *maps = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof(line), maps) != NULL) {
		unsigned long from, to;
		char mode[8];
		if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %4095s", &from, &to, mode, path) == 4 && mode[1] == 'w' &&
		    strstr(path, "libmexec-preload") != NULL)
			for (const char *p = (const char *)from; p < (const char *)to; p++)
				sum = (sum ^ (unsigned char)*p) * 1099511628211u;
	}
	fclose(maps);
	return sum;
}

static const char *const names[] = {"execv", "execve", "execvp", "execvpe", "execl", "execle", "execlp", "posix_spawn", "posix_spawnp"};
enum { WAYS = 9 };

static void start(int way, char **argv, char **env, pid_t *pid, int *err)
{
	char *path = "/bin/sh", *file = "sh";
	*err = 0;
	if (way >= 7) {
		*err = way == 7 ? posix_spawn(pid, path, NULL, NULL, argv, env) : posix_spawnp(pid, file, NULL, NULL, argv, env);
		return;
	}
	*pid = vfork();
	if (*pid != 0)
		return;
	switch (way) {
	case 0:
		execv(path, argv);
		break;
	case 1:
		execve(path, argv, env);
		break;
	case 2:
		execvp(file, argv);
		break;
	case 3:
		execvpe(file, argv, env);
		break;
	case 4:
		execl(path, argv[0], argv[1], argv[2], argv[3], NULL);
		break;
	case 5:
		execle(path, argv[0], argv[1], argv[2], argv[3], NULL, env);
		break;
	case 6:
		execlp(file, argv[0], argv[1], argv[2], argv[3], NULL);
		break;
	}
	_exit(99);
}

// What the actions lead to is what counts: ./only-here and bin/only-here are not in "sub". And an action is not done twice.
static int act(char **env)
{
	static const struct {
		const char *file, *path;
		bool along;
		int err;
	} elsewhere[] = {{"./only-here", "/bin", false, ENOENT}, {"only-here", "/usr/bin:bin", true, ENOENT}, {"only-here", "/usr/bin:", true, ENOENT},
			 {"./only-here", "/bin", true, ENOENT}, {"true", "/usr/bin:/bin", true, 0}, {"/bin/true", "bin", false, 0}};
	const char *path = getenv("PATH");
	int bad = 0;
	for (size_t i = 0; i < 2 * sizeof(elsewhere) / sizeof(*elsewhere); i++) {
		const typeof(*elsewhere) *e = &elsewhere[i / 2];
		char *list[] = {"act", NULL};
		pid_t pid;
		posix_spawn_file_actions_t actions;
		posix_spawn_file_actions_init(&actions);
		if (i % 2)
			posix_spawn_file_actions_addchdir_np(&actions, "sub");
		else
			posix_spawn_file_actions_addfchdir_np(&actions, open("sub", O_RDONLY | O_CLOEXEC));
		setenv("PATH", e->path, 1);
		int err = (e->along ? posix_spawnp : posix_spawn)(&pid, e->file, &actions, NULL, list, env);
		posix_spawn_file_actions_destroy(&actions);
		if (err == 0)
			waitpid(pid, NULL, 0);
		if (err != e->err) {
			fprintf(stderr, "%s in another directory: %d, not %d\n", e->file, err, e->err);
			bad = 1;
		}
	}
	setenv("PATH", path, 1);
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 9, "once", O_WRONLY | O_CREAT | O_EXCL, 0600);
	posix_spawn_file_actions_adddup2(&actions, 99, 98);
	int err = posix_spawn(&(pid_t){0}, "/bin/true", &actions, NULL, (char *[]){"act", NULL}, env);
	posix_spawn_file_actions_destroy(&actions);
	if (err != EBADF)
		fprintf(stderr, "a bad descriptor behind a new file: %d\n", err);
	return bad || err != EBADF;
}

int main(int argc, char **argv)
{
	if (strcmp(argv[argc - 1], "act") == 0)
		return act(environ);
	// A copy: make 4.3 hands its own environment to $(shell) only, and that stays here.
	static char *env[4096];
	for (int i = 0; i < 4095 && environ[i] != NULL; i++)
		env[i] = environ[i];
	int bad = 0;
	for (int way = 0; way < WAYS; way++) {
		char *list[] = {"sh", "-c", argv[1], (char *)names[way], NULL};
		uint64_t before = memory();
		struct mallinfo2 heap = mallinfo2();
		pid_t pid;
		int status = 0, err;
		errno = 4242;
		start(way, list, env, &pid, &err);
		int after = errno;
		bool same = memory() == before && mallinfo2().uordblks == heap.uordblks;
		if (err != 0 || waitpid(pid, &status, 0) != pid || status != 5 << 8 || after != 4242 || !same) {
			fprintf(stderr, "%s: error %d, status %x, errno %d, memory %s\n", names[way], err, status, after, same ? "same" : "CHANGED");
			bad = 1;
		}
	}
	// What the kernel refuses comes back with the kernel's own errno.
	static const struct {
		const char *path;
		int err;
	} refused[] = {{"./none", ENOENT}, {"./plain", EACCES}, {"./text", ENOEXEC}, {"/", EACCES}, {"./plain/x", ENOTDIR}, {"", ENOENT}};
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		char *list[] = {"x", NULL};
		pid_t pid;
		int spawned = posix_spawn(&pid, refused[i].path, NULL, NULL, list, env);
		errno = 0;
		execve(refused[i].path, list, env);
		if (spawned != refused[i].err || errno != refused[i].err) {
			fprintf(stderr, "%s: posix_spawn %d, execve %d, not %d\n", refused[i].path, spawned, errno, refused[i].err);
			bad = 1;
		}
	}
	return bad;
}
