// How the caller is scheduled and treated by its kernel, beyond nice: each one asked for by its own cheap call, because the one file
// that has most of it, /proc/self/stat, costs more than all of these together.
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sched_attr.h"
#include "stub.h"

enum {
	SCHED_POLICY_DEADLINE = 6, // the header names it where the C library is recent
	FLAG_RESET_ON_FORK = 1,
};

static void policy(struct exec_head *h)
{
	struct attr a = {0};
	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) != 0) {
		h->nice = getpriority(PRIO_PROCESS, 0);
		return;
	}
	h->sched_policy = a.policy;
	h->sched_priority = a.priority;
	h->sched_flags = a.flags & FLAG_RESET_ON_FORK ? EXEC_RESET_ON_FORK : 0;
	// A real-time process has a nice value too, for its children or for later, and this call does not tell it.
	bool fair = a.policy != SCHED_FIFO && a.policy != SCHED_RR && a.policy != SCHED_POLICY_DEADLINE;
	h->nice = fair ? a.nice : getpriority(PRIO_PROCESS, 0);
}

static int16_t oom_score(void)
{
	char text[16] = "";
	int fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC); // musl's open makes a second call
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 ? atoi(text) : 0;
}

// How many CPUs the caller may use, 0 where the daemon may use no others: then a container or the machine is restricted, not the
// caller. The numbers mean nothing on another node, so only how many they are travels.
static uint16_t cpus(int daemon)
{
	uint64_t own[CPU_WORDS] = {0}, theirs[CPU_WORDS] = {0};
	if (syscall(SYS_sched_getaffinity, 0, sizeof(own), own) < 0 ||
	    syscall(SYS_sched_getaffinity, daemon, sizeof(theirs), theirs) < 0)
		return 0;
	unsigned count = 0;
	bool fewer = false;
	for (int i = 0; i < CPU_WORDS; i++) {
		for (uint64_t rest = own[i]; rest != 0; rest &= rest - 1)
			count++;
		fewer = fewer || theirs[i] & ~own[i];
	}
	return fewer ? count : 0;
}

struct capabilities {
	uint32_t effective, permitted, inheritable;
};

static bool capabilities(int pid, struct capabilities c[2])
{
	struct {
		uint32_t version;
		int pid;
	} header = {0x20080522, pid}; // the third version, which has 64 bits
	return syscall(SYS_capget, &header, c) == 0;
}

// Whether the caller has other capabilities than its user id gives: root's here are the daemon's, anybody else has none. Another node
// could neither believe more nor knows what less is for.
static bool special_capabilities(int daemon)
{
	struct capabilities own[2] = {{0}}, theirs[2] = {{0}};
	if (!capabilities(0, own))
		return false;
	if (geteuid() != 0)
		return (own[0].permitted | own[1].permitted | own[0].inheritable | own[1].inheritable) != 0;
	if (!capabilities(daemon, theirs))
		return false;
	for (int i = 0; i < 2; i++)
		if (own[i].permitted != theirs[i].permitted || own[i].inheritable != theirs[i].inheritable)
			return true;
	return false;
}

void scheduling(struct exec_head *h, int daemon)
{
	policy(h);
	int io = syscall(SYS_ioprio_get, 1, 0); // IOPRIO_WHO_PROCESS, this one
	h->ioprio = io > 0 ? io : 0;
	h->oom_score_adj = oom_score();
	h->personality = personality(0xffffffff);
	long slack = syscall(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
	h->timer_slack = slack < 0 ? 0 : slack > UINT32_MAX ? UINT32_MAX : slack;
	h->cpus = cpus(daemon);
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
	h->securebits = bits > 0 ? bits : 0;
	int reaper = 0;
	prctl(PR_GET_CHILD_SUBREAPER, &reaper, 0, 0, 0);
	h->special = (special_capabilities(daemon) ? EXEC_CAPABILITIES : 0) | (reaper != 0 ? EXEC_SUBREAPER : 0) |
		     (prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1 ? EXEC_NO_HUGE_PAGES : 0);
}
