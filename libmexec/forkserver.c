// The fork server: one small process beside each daemon, of which the stages are forks.
//
// A daemon that forks by itself stops one of its processors until the child's execve, and executes this program once more for each
// command; a copy of a process of a few pages is cheaper than either. The stage becomes the daemon's child and not ours (CLONE_PARENT),
// born in the control group of its job.
//
// A request is one packet: a byte that does not count, with the stage's channel and, where it is to be born in a group, that group's
// directory. The answer is the number of the process, or minus an errno; with a number comes a descriptor of the process.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stage.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ull
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif

// struct clone_args of the kernel, as far as Linux 5.7 has it.
struct arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(2 * sizeof(int))];
};

// clone without CLONE_INTO_CGROUP does with the older call, which is there where a sandbox denies the newer one.
static long copy(int group, int *pidfd)
{
	uint64_t flags = CLONE_PARENT | CLONE_PIDFD;
	if (group < 0)
		return syscall(SYS_clone, flags, 0, pidfd, 0, 0);
	struct arguments a = { .flags = flags | CLONE_INTO_CGROUP, .pidfd = (uintptr_t)pidfd, .cgroup = (uint64_t)group };
	return syscall(SYS_clone3, &a, sizeof a);
}

static int take(int fds[2])
{
	union control control;
	char byte;
	struct iovec part = { &byte, 1 };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t n;
	do
		n = recvmsg(CHANNEL, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (n <= 0 || !c || c->cmsg_type != SCM_RIGHTS)
		_exit(0); // the daemon is gone
	int count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(fds, CMSG_DATA(c), (size_t)count * sizeof(int));
	return count;
}

static void give(int32_t pid, int pidfd)
{
	union control control = { 0 };
	struct iovec part = { &pid, sizeof pid };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	if (pid > 0) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &pidfd, sizeof(int));
	}
	if (sendmsg(CHANNEL, &m, MSG_NOSIGNAL) < 0)
		_exit(0);
}

void forkserver(void)
{
	// A terminal's Ctrl-C is the daemon's. A stage sets its mask as its last step: a signal that comes before is the job's, and waits.
	mask(~0ull);
	close(0), close(1), close(2);
	syscall(SYS_close_range, CHANNEL + 1, ~0u, 0);
	for (;;) {
		int fds[2] = { -1, -1 }, pidfd = -1;
		int count = take(fds);
		long pid = copy(fds[1], &pidfd);
		if (pid == 0) {
			dup2(fds[0], CHANNEL);
			for (int i = 0; i < count; i++)
				close(fds[i]);
			return;
		}
		give(pid < 0 ? -errno : (int32_t)pid, pidfd);
		for (int i = 0; i < count; i++)
			close(fds[i]);
		if (pid > 0)
			close(pidfd);
	}
}
