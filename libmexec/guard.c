// The guard: one small process beside each daemon, so that no job outlives a daemon that was killed.
//
// The kernel closes the daemon's end of the pipe however the daemon went. PR_SET_PDEATHSIG in the jobs was refused: it fires when the
// thread that forked ends, which in Go means nothing, and it reaches only the job's first process.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "stage.h"

enum { DEEPEST = 32, SHORTEST_MS = 1, LONGEST_MS = 500 };

static int put(int dir, const char *name, const char *value)
{
	int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, value, strlen(value));
	close(fd);
	return n < 0 ? -1 : 0;
}

static void kill_listed(int dir)
{
	int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	char buf[4096];
	pid_t pid = 0;
	ssize_t n;
	while ((n = read(fd, buf, sizeof buf)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9') {
				pid = pid * 10 + (buf[i] - '0');
				continue;
			}
			if (pid > 0) // 0 stands for a process outside of our pid namespace
				kill(pid, SIGKILL);
			pid = 0;
		}
	}
	close(fd);
}

// A group of version 2 dies at one word. Elsewhere its processes are frozen first, so that none can fork away from the list.
static void kill_group(int dir)
{
	if (!put(dir, "cgroup.kill", "1"))
		return;
	if (!put(dir, "cgroup.freeze", "1")) {
		kill_listed(dir);
		put(dir, "cgroup.freeze", "0");
		return;
	}
	put(dir, "freezer.state", "FROZEN");
	kill_listed(dir);
	put(dir, "freezer.state", "THAWED");
}

static int descend(int parent, const char *name)
{
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void clear(int parent, const char *name, int depth)
{
	int dir = descend(parent, name);
	if (dir < 0)
		return;
	kill_group(dir);
	_Alignas(struct dirent) char buf[4096];
	long n;
	while (depth < DEEPEST && (n = syscall(SYS_getdents64, dir, buf, sizeof buf)) > 0) {
		for (char *at = buf; at < buf + n; at += ((struct dirent *)at)->d_reclen) {
			const struct dirent *entry = (struct dirent *)at;
			if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
				clear(dir, entry->d_name, depth + 1);
		}
	}
	close(dir);
	unlinkat(parent, name, AT_REMOVEDIR);
}

int guard(const char *dir)
{
	setsid();
	dispositions(0, ~0ull);
	if (chdir("/"))
		return 1;
	close(0), close(1), close(2);
	syscall(SYS_close_range, CHANNEL + 1, ~0u, 0);

	char byte;
	ssize_t n;
	while ((n = read(CHANNEL, &byte, 1)) > 0 || (n < 0 && errno == EINTR))
		;
	// Until the directory is gone, whether by us or by the daemon's own orderly end.
	for (long ms = SHORTEST_MS; !access(dir, F_OK); ms = ms < LONGEST_MS ? ms * 2 : ms) {
		clear(AT_FDCWD, dir, 0);
		nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, 0);
	}
	return 0;
}
