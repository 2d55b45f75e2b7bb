// The descriptors above 2 that execve would hand on.
//
// Almost every command has none. Since Linux 6.2 the size of /proc/self/fd is how many are open, and that is all it costs to find out. Before,
// or where there is no /proc, it is one select and an fcntl for each of the sixty numbers that may be open, the cheapest of system calls. One
// poll was refused: it calls a descriptor of O_PATH closed.
#include <fcntl.h>
#include <dirent.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stub.h"

enum { FIRST = 3, SMALL = 64, LONG = 8 * sizeof(unsigned long), BITS = 1024, HIGHEST = 1 << 16 };

// The kernel's smallest table of descriptors has 64 places, and a process gets a larger one only when it needs it. select(2) ignores
// what is beyond the table ("BUGS" in its man page) and finds fault with the rest: so an answer of 0 with the sets untouched
// says that no number from 64 on is open. A kernel that would not ignore them costs us the slow way, not the truth.
static bool large(void)
{
	unsigned long set[BITS / LONG];
	for (unsigned i = 0; i < BITS / LONG; i++)
		set[i] = i < SMALL / LONG ? 0 : ~0ul;
	struct timeval now = {0, 0};
	return select(BITS, (fd_set *)set, NULL, NULL, &now) != 0 || ~set[SMALL / LONG] != 0;
}

// Whether there are those of 0, 1 and 2 that are open, and our connection to the daemon.
static bool none(const struct job *job)
{
	struct stat st;
	return stat("/proc/self/fd", &st) == 0 && st.st_size == __builtin_popcount(job->head.fds) + 1;
}

static void see(struct job *job, int fd)
{
	int flags = fcntl(fd, F_GETFD);
	if (flags < 0 || flags & FD_CLOEXEC)
		return;
	if (job->head.ndescriptors < EXEC_DESCRIPTORS)
		job->descriptors[job->head.ndescriptors++] = fd;
	else
		job->head.unsent++;
}

static void see_each(struct job *job, int end)
{
	for (int fd = FIRST; fd < end; fd++)
		see(job, fd);
}

static void see_large(struct job *job)
{
	int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		struct rlimit most;
		bool known = getrlimit(RLIMIT_NOFILE, &most) == 0 && most.rlim_cur < HIGHEST;
		see_each(job, known ? most.rlim_cur : HIGHEST);
		return;
	}
	_Alignas(struct dirent) char room[4096];
	long n;
	while ((n = syscall(SYS_getdents64, dir, room, sizeof(room))) > 0) {
		for (char *at = room; at < room + n; at += ((struct dirent *)at)->d_reclen) {
			const char *name = ((struct dirent *)at)->d_name;
			if (name[0] != '.' && atoi(name) >= FIRST)
				see(job, atoi(name));
		}
	}
	close(dir);
}

void list_descriptors(struct job *job)
{
	struct exec_head *h = &job->head;
	h->ndescriptors = h->unsent = 0;
	if (none(job))
		return;
	if (large())
		see_large(job);
	else
		see_each(job, SMALL);
	if (h->unsent > 0) { // all or none: the command stays here
		h->unsent += h->ndescriptors;
		h->ndescriptors = 0;
	}
}

void close_descriptor(const struct job *job, uint32_t number)
{
	for (uint32_t i = 0; i < job->head.ndescriptors; i++)
		if (job->descriptors[i] == number)
			close(number);
}
