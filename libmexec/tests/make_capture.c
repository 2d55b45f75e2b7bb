// Starts commands as make does for $(shell) and for recipes, in all the ways of makes old and new, as make-capture: a driver by its name.
// What it captures it prints behind "captured ".
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *env[64]; // made for the child, as make 4.4 does for both kinds

static void echo(const char *word, char *argv[3])
{
	argv[0] = "/bin/echo";
	argv[1] = (char *)word;
	argv[2] = NULL;
}

static void show(int fd)
{
	char got[64];
	ssize_t n = read(fd, got, sizeof(got));
	close(fd);
	printf("captured %.*s", (int)(n > 0 ? n : 0), got);
	fflush(stdout);
}

static void spawn(const char *word, int captured)
{
	posix_spawn_file_actions_t actions; // at the same place each time
	char *argv[3];
	int p[2];
	pid_t pid;
	echo(word, argv);
	posix_spawn_file_actions_init(&actions);
	if (captured && pipe(p) == 0)
		posix_spawn_file_actions_adddup2(&actions, p[1], 1);
	if (posix_spawn(&pid, argv[0], &actions, NULL, argv, env) == 0)
		waitpid(pid, NULL, 0);
	posix_spawn_file_actions_destroy(&actions);
	if (captured) {
		close(p[1]);
		show(p[0]);
	}
}

static void forked(const char *word, int captured)
{
	char *argv[3];
	int p[2];
	echo(word, argv);
	if (captured && pipe(p) != 0)
		return;
	pid_t pid = captured ? vfork() : fork();
	if (pid == 0) {
		if (captured)
			dup2(p[1], 1);
		execve(argv[0], argv, env);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
	if (captured) {
		close(p[1]);
		show(p[0]);
	}
}

int main(void)
{
	for (int i = 0; i < 63 && environ[i] != NULL; i++)
		env[i] = environ[i];
	spawn("function", 1);
	spawn("recipe", 0);
	forked("function", 1);
	forked("recipe", 0);
	return 0;
}
