// What only this process can see of itself, as PROTOCOL.md's exec body has it.
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "kind.h"
#include "stub.h"

// Asking 64 times costs less than reading /proc/self/status once, and needs no /proc.
static uint64_t ignored_signals(void)
{
	uint64_t set = 0;
	for (unsigned n = 1; n <= SIGNALS; n++)
		if (signal_ignored(n))
			set |= signal_bit(n);
	return set;
}

static void ids(struct exec_head *h)
{
	uid_t u[3];
	gid_t g[3];
	if (getresuid(&u[0], &u[1], &u[2]) != 0 || getresgid(&g[0], &g[1], &g[2]) != 0)
		return;
	for (int i = 0; i < 3; i++) {
		h->uid[i] = u[i];
		h->gid[i] = g[i];
	}
}

static void limits(struct exec_head *h)
{
	for (int i = 0; i < EXEC_RLIMITS; i++)
		syscall(SYS_prlimit64, 0, i, NULL, h->rlimit[i]);
}

// Opened, not only looked at: opening is what makes an NFS client ask its server (close-to-open).
static bool directory(struct job *job)
{
	struct exec_head *h = &job->head;
	// The kernel writes "(unreachable)" in front of what cannot be reached from our root.
	if (syscall(SYS_getcwd, job->cwd, sizeof(job->cwd)) <= 0 || job->cwd[0] != '/')
		return false;
	h->cwd_len = strlen(job->cwd);

	int fd = syscall(SYS_openat, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); // musl's open makes a second call
	if (fd < 0)
		fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC); // one that may be searched and not read
	if (fd < 0)
		return false;
	struct stat st;
	struct statfs fs;
	struct timespec now;
	bool seen = fstat(fd, &st) == 0 && fstatfs(fd, &fs) == 0 && clock_gettime(CLOCK_REALTIME, &now) == 0;
	close(fd);
	if (!seen)
		return false;
	h->dir_dev = st.st_dev;
	h->dir_ino = st.st_ino;
	h->dir_ctime_sec = st.st_ctim.tv_sec;
	h->dir_ctime_nsec = st.st_ctim.tv_nsec;
	h->dir_fs = fs.f_type;
	h->dir_taken_sec = now.tv_sec;
	h->dir_taken_nsec = now.tv_nsec;
	return true;
}

static void program(struct job *job)
{
	const struct stat *st = &job->program;
	struct exec_head *h = &job->head;
	struct statfs fs;
	h->prog_dev = st->st_dev;
	h->prog_ino = st->st_ino;
	h->prog_size = st->st_size;
	h->prog_mtime_sec = st->st_mtim.tv_sec;
	h->prog_mtime_nsec = st->st_mtim.tv_nsec;
	h->prog_mode = st->st_mode;
	if (statfs(job->path, &fs) == 0)
		h->prog_fs = fs.f_type;
}

static uint32_t strings(char *const *list, uint32_t *count)
{
	uint32_t bytes = 0; // the kernel's own limit on both lists is 6 MiB
	for (*count = 0; list[*count] != NULL; ++*count)
		bytes += strlen(list[*count]) + 1;
	return bytes;
}

bool describe(struct job *job)
{
	if (job->described)
		return true;
	struct exec_head *h = &job->head;
	h->head_len = sizeof(*h);
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		h->flags |= EXEC_NO_NEW_PRIVS;
	h->fds = 0;
	for (int fd = 0; fd <= 2; fd++) // first: whatever is opened below may take one of these numbers
		if (fcntl(fd, F_GETFD) != -1)
			h->fds |= 1u << fd;
	list_descriptors(job);
	h->umask = umask(0);
	umask(h->umask);
	scheduling(h, job->daemon);
	h->pgid = getpgrp();
	h->ppid = getppid();
	h->sigign = ignored_signals();
	h->sigblk = signal_mask(NULL);
	ids(h);
	limits(h);
	int n = getgroups(GROUPS_MAX, job->groups);
	h->ngroups = n > 0 ? n : 0;
	h->path_len = strlen(job->path);
	h->nodes_len = strlen(job->nodes);
	h->build_len = strlen(job->build);
	h->repeat_len = strlen(job->repeat);
	h->strings_len = strings(job->argv, &h->argc);
	h->strings_len += strings(job->env, &h->envc);
	h->kind = kind_of(job->path, job->argv);
	program(job);
	job->described = directory(job);
	return job->described;
}
