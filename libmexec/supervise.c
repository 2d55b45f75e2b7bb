// The supervisor: the job's parent where no control group can hold its process tree (inside a container, under a batch system), and
// where the job has a terminal (stage_terminal.c).
//
// As a subreaper it inherits every process of the tree that loses its parent, whatever session or group that has made for itself.
// It blocks every signal, so that a terminal's Ctrl-C at the daemon does not take it away from its job, and keeps no descriptor of the job.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <dirent.h>
#include <unistd.h>

#include "stage.h"

enum { DEEPEST = 64, LONGEST_MS = 500 };

int started = -1;

static struct {
	pid_t job; // 0: reaped
	int status;
	int start;  // read end of the pipe that execve closes, -1: the start is over
	int failed; // the job has reported a step that went wrong
	int killing;
} sv;

static char *append(char *to, const char *s)
{
	while (*s)
		*to++ = *s++;
	*to = 0;
	return to;
}

static char *append_number(char *to, int n)
{
	char digits[12];
	char *d = digits + sizeof digits;
	*--d = 0;
	do
		*--d = (char)('0' + n % 10);
	while (n /= 10);
	return append(to, d);
}

static void kill_below(pid_t pid, int depth);

// A process is stopped before its children are listed: it cannot fork between, nor reap one whose number is then another's.
static void kill_child(pid_t pid, int depth)
{
	kill(pid, SIGSTOP);
	if (depth < DEEPEST)
		kill_below(pid, depth + 1);
	kill(pid, SIGKILL);
}

static void kill_children_of_thread(const char *children, int depth)
{
	int fd = open(children, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	char buf[512];
	pid_t pid = 0;
	ssize_t n;
	while ((n = read(fd, buf, sizeof buf)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9') {
				pid = pid * 10 + (buf[i] - '0');
			} else if (pid) {
				kill_child(pid, depth);
				pid = 0;
			}
		}
	}
	close(fd);
}

static void kill_below(pid_t pid, int depth)
{
	char path[64];
	char *tasks = append(append_number(append(path, "/proc/"), pid), "/task/");
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	_Alignas(struct dirent) char buf[1024];
	long n;
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof buf)) > 0) {
		for (char *at = buf; at < buf + n; at += ((struct dirent *)at)->d_reclen) {
			const char *name = ((struct dirent *)at)->d_name;
			if (name[0] == '.' || strlen(name) > 10)
				continue;
			append(append(tasks, name), "/children");
			kill_children_of_thread(path, depth);
		}
	}
	close(fd);
}

static void end_start(void)
{
	char byte;
	if (sv.start < 0)
		return;
	sv.failed = read(sv.start, &byte, 1) == 1;
	close(sv.start);
	sv.start = -1;
	if (!sv.failed)
		report(STEP_CHILD, 0, (uint32_t)sv.job);
}

// reap takes all that has happened to children. It returns 0 when there is none left.
static int reap(void)
{
	for (;;) {
		int status;
		pid_t pid = wait4(-1, &status, WNOHANG | WUNTRACED | WCONTINUED, 0);
		if (pid < 0)
			return 0;
		if (pid == 0)
			return 1;
		if (pid != sv.job)
			continue;
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			end_start();
			sv.status = status;
			sv.job = 0;
		} else if (!sv.killing && sv.start < 0) {
			if (WIFSTOPPED(status))
				report(STEP_STOPPED, 0, (uint32_t)WSTOPSIG(status));
			else
				report(STEP_CONTINUED, 0, 0);
		}
	}
}

static void drain(int signals)
{
	struct signalfd_siginfo info[8];
	while (read(signals, info, sizeof info) == sizeof info)
		;
}

// end kills until nothing is left, and ends the supervisor. The children of a process that is killed become ours: each round sees more.
_Noreturn static void end(int signals)
{
	sv.killing = 1;
	for (int ms = 1;; ms = ms < LONGEST_MS ? ms * 2 : ms) {
		kill_below(getpid(), 0);
		if (!reap())
			break;
		struct pollfd wait = { .fd = signals, .events = POLLIN };
		poll(&wait, 1, ms);
		drain(signals);
	}
	if (!sv.failed)
		report(STEP_STATUS, 0, (uint32_t)sv.status);
	_exit(0);
}

static void serve(int signals)
{
	struct request r;
	ssize_t n = recv(CHANNEL, &r, sizeof r, MSG_WAITALL);
	if (n != sizeof r || r.op == REQUEST_KILL)
		end(signals);
	if (!sv.job)
		return;
	if (r.op == REQUEST_SIGNAL)
		kill(sv.job, (int)r.sig);
	else if (r.op == REQUEST_SIGNAL_GROUP)
		kill(-sv.job, (int)r.sig);
}

void supervise(int terminal)
{
	mask(~0ull);
	dispositions(1ull << (SIGCHLD - 1), 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (terminal)
		take_terminal();
	else
		setpgid(0, 0);
	sigset_t children;
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	int signals = aside(signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK), STEP_FRAME);
	int start[2];
	if (pipe2(start, O_CLOEXEC))
		fail(STEP_FRAME, errno, 0);
	start[0] = aside(start[0], STEP_FRAME);
	start[1] = aside(start[1], STEP_FRAME);
	pid_t pid = fork();
	if (pid < 0)
		fail(STEP_FRAME, errno, 0);
	if (pid == 0) {
		started = start[1];
		return;
	}
	sv.job = pid;
	sv.start = start[0];
	close(start[1]);
	for (int fd = 0; fd <= LOG; fd++)
		if (fd != CHANNEL)
			close(fd);
	for (uint32_t i = 0; i < attached.count; i++)
		close(attached.fds[i]);

	struct pollfd polled[] = {
		{ .fd = CHANNEL, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
		{ .fd = start[0], .events = POLLIN },
	};
	for (;;) {
		polled[2].fd = sv.start;
		if (poll(polled, 3, -1) < 0)
			continue;
		if (sv.start >= 0 && polled[2].revents)
			end_start();
		if (polled[1].revents) {
			drain(signals);
			if (!reap() || !sv.job)
				end(signals);
		}
		if (polled[0].revents)
			serve(signals);
	}
}
