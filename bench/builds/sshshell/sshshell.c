/* sshshell - a SHELL for make that runs each recipe on the least busy host, over connections of ssh's that stand already
 *
 *     make SHELL=/dir/sshshell
 *
 * What people write for themselves, as cheap as it can be made: no shell, no daemon, one fork and the client of ssh. SSHSHELL_HOSTS names the hosts, the first of
 * which is this one and needs no ssh; SSHSHELL_SLOTS says how many recipes each may run at once; SSHSHELL_DIR has a lock file for each slot, and SSHSHELL_CONFIG is
 * what ssh is told. The kernel frees a slot whose holder is gone, so nothing is counted that could be counted wrongly.
 *
 * What calls make stays here, or its jobserver would be lost; so does $(shell): make 4.3 gives it the
 * environment that it was called with itself, MAKELEVEL included. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *need(const char *name)
{
	const char *value = getenv(name);
	if (!value) {
		fprintf(stderr, "sshshell: no %s\n", name);
		exit(127);
	}
	return value;
}

static int stays(char **argv)
{
	const char *level = getenv("MAKELEVEL"), *above = getenv("SSHSHELL_LEVEL");
	if (!strcmp(level ? level : "0", above ? above : "0"))
		return 1;
	for (char **a = argv + 1; *a; a++)
		for (char *at = *a; (at = strstr(at, "make")); at++)
			if ((at == *a || strchr(" /\t;(", at[-1])) && (!at[4] || at[4] == ' '))
				return 1;
	return 0;
}

/* take holds the first free slot, where every host's first comes before any host's second: that is one of the least busy. */
static int take(const char *dir, char *const *hosts, int count, int slots)
{
	for (;;) {
		for (int s = 0; s < slots; s++)
			for (int h = 0; h < count; h++) {
				char path[4096];
				snprintf(path, sizeof path, "%s/slot.%s.%d", dir, hosts[h], s);
				int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
				if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
					return h;
				close(fd);
			}
		usleep(5000); /* make was told as many jobs as there are slots: only nested makes come here */
	}
}

static void quoted(FILE *f, const char *s)
{
	putc('\'', f);
	for (; *s; s++)
		if (*s == '\'')
			fputs("'\\''", f);
		else
			putc(*s, f);
	putc('\'', f);
}

static char *line(char **argv)
{
	char *text, *cwd = getcwd(NULL, 0);
	size_t size;
	FILE *f = open_memstream(&text, &size);
	fputs("cd ", f);
	quoted(f, cwd ? cwd : ".");
	fputs(" && exec env -i", f);
	for (char **e = environ; *e; e++)
		if (strncmp(*e, "SSHSHELL_", 9)) {
			putc(' ', f);
			quoted(f, *e);
		}
	fputs(" /bin/sh", f);
	for (char **a = argv + 1; *a; a++) {
		putc(' ', f);
		quoted(f, *a);
	}
	fclose(f);
	return text;
}

int main(int argc, char **argv)
{
	(void)argc;
	char *local = argv[0];
	argv[0] = "/bin/sh";
	if (stays(argv)) {
		setenv("SSHSHELL_LEVEL", getenv("MAKELEVEL") ? getenv("MAKELEVEL") : "0", 1);
		execv("/bin/sh", argv);
		return 127;
	}
	argv[0] = local;
	const char *dir = need("SSHSHELL_DIR"), *config = need("SSHSHELL_CONFIG");
	int slots = atoi(need("SSHSHELL_SLOTS")), count = 0;
	char *hosts[256], *names = strdup(need("SSHSHELL_HOSTS"));
	for (char *h = strtok(names, " "); h && count < 256; h = strtok(NULL, " "))
		hosts[count++] = h;
	int h = take(dir, hosts, count, slots);
	pid_t child = vfork();
	if (child < 0) {
		perror("sshshell: fork");
		return 127;
	}
	if (!child) {
		if (h == 0) {
			argv[0] = "/bin/sh";
			execv("/bin/sh", argv);
			_exit(127);
		}
		execl("/usr/bin/ssh", "ssh", "-n", "-T", "-F", config, hosts[h], line(argv), (char *)NULL);
		_exit(127);
	}
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
