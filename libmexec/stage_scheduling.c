// How the job is scheduled and treated by the kernel. A job inherits from its stage what its stage inherited from the daemon, who may
// have been given any of it (systemd's OOMScoreAdjust=, CPUSchedulingPolicy=): so what differs from that is set, and a
// usual job of a usual daemon costs no system call.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sched_attr.h"
#include "stage.h"

static struct {
	struct attr policy;
	uint32_t personality, slack;
	uint16_t ioprio;
	int16_t oom;
	int cpus;
	uint64_t mask[CPU_WORDS];
} had;

// Called before there is a job to wait for us.
void note_scheduling(void)
{
	syscall(SYS_sched_getattr, 0, &had.policy, sizeof had.policy, 0);
	long io = syscall(SYS_ioprio_get, 1, 0);
	had.ioprio = io > 0 ? (uint16_t)io : 0;
	had.personality = (uint32_t)personality(0xffffffff);
	long slack = syscall(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
	had.slack = slack > UINT32_MAX ? UINT32_MAX : (uint32_t)slack;
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		char text[16] = "";
		if (read(fd, text, sizeof text - 1) > 0)
			had.oom = (int16_t)atoi(text);
		close(fd);
	}
	if (syscall(SYS_sched_getaffinity, 0, sizeof had.mask, had.mask) > 0)
		for (int i = 0; i < CPU_WORDS; i++)
			had.cpus += __builtin_popcountll(had.mask[i]);
}

static void set_oom(int16_t score)
{
	char text[8], *at = text + sizeof text;
	unsigned n = score < 0 ? (unsigned)-score : (unsigned)score;
	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	if (score < 0)
		*--at = '-';
	int fd = aside(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC), STEP_SCHEDULING);
	if (write(fd, at, (size_t)(text + sizeof text - at)) < 0)
		fail(STEP_SCHEDULING, errno, SCHEDULING_OOM);
	close(fd);
}

// As many CPUs as the caller may use at home. Which ones is this node's to choose; by the process number, so that not all such jobs
// meet on the same.
static void set_cpus(int want)
{
	uint64_t mask[CPU_WORDS] = { 0 };
	int first = getpid() % had.cpus, n = 0;
	for (int cpu = 0; cpu < CPU_WORDS * 64; cpu++) {
		if (!(had.mask[cpu / 64] >> cpu % 64 & 1))
			continue;
		if ((n - first + had.cpus) % had.cpus < want)
			mask[cpu / 64] |= 1ull << cpu % 64;
		n++;
	}
	if (syscall(SYS_sched_setaffinity, 0, sizeof mask, mask))
		fail(STEP_SCHEDULING, errno, SCHEDULING_CPUS);
}

// A guest gives way to what this machine's owner does. One with a real-time policy is root's, who is to know.
void give_way(struct exec_head *exec, int nicer)
{
	if (exec->sched_policy != SCHED_OTHER && exec->sched_policy != SCHED_BATCH)
		return;
	if (nicer >= STAGE_IDLE)
		exec->sched_policy = SCHED_IDLE;
	else
		exec->nice = exec->nice + nicer > 19 ? 19 : exec->nice + nicer;
}

void set_scheduling(const struct exec_head *exec)
{
	if (exec->oom_score_adj != had.oom)
		set_oom(exec->oom_score_adj);
	if (exec->cpus && exec->cpus < had.cpus)
		set_cpus(exec->cpus);
	if (exec->ioprio != had.ioprio && syscall(SYS_ioprio_set, 1, 0, exec->ioprio))
		fail(STEP_SCHEDULING, errno, SCHEDULING_IOPRIO);
	if (exec->personality != had.personality && personality(exec->personality) < 0)
		fail(STEP_SCHEDULING, errno, SCHEDULING_PERSONALITY);
	if (exec->timer_slack != had.slack && exec->timer_slack && prctl(PR_SET_TIMERSLACK, exec->timer_slack, 0, 0, 0))
		fail(STEP_SCHEDULING, errno, SCHEDULING_SLACK);
}

// What a process does without while it is a stage.
void set_special(const struct exec_head *exec)
{
	if (exec->special & EXEC_SUBREAPER)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (exec->special & EXEC_NO_HUGE_PAGES)
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

// Last: from here on a real-time job holds its CPU, and a child of it may be none.
void set_policy(const struct exec_head *exec)
{
	uint64_t flags = exec->sched_flags & EXEC_RESET_ON_FORK;
	if (exec->sched_policy == had.policy.policy && exec->sched_priority == had.policy.priority && flags == (had.policy.flags & 1))
		return;
	struct attr a = {
		.size = sizeof a,
		.policy = exec->sched_policy,
		.flags = flags,
		.nice = exec->nice,
		.priority = exec->sched_priority,
	};
	if (syscall(SYS_sched_setattr, 0, &a, 0))
		fail(STEP_SCHEDULING, errno, SCHEDULING_POLICY);
}
