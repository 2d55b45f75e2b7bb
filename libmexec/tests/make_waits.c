// Waits for children in every way that there is, as make-waits: a driver by its name. Standard output says what came back, without anything that
// differs between two runs; the file "reaped" names each child that is gone, and its status.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

pid_t __wait(int *);
pid_t __waitpid(pid_t, int *, int);

static FILE *reaped;
static pid_t child;

static pid_t start(void (*life)(void))
{
	fflush(NULL);
	child = fork();
	if (child == 0) {
		life();
		_exit(99);
	}
	return child;
}

static void exits(void)
{
	_exit(7);
}

static void dies(void)
{
	raise(SIGTERM);
}

static void aborts(void)
{
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	abort();
}

static void stays(void)
{
	for (;;)
		pause();
}

// Goes on only until it is told to end: one that had ended by the time of the look for its going on would leave nothing to be seen of that.
static void stops(void)
{
	sigset_t told;
	int n;
	sigemptyset(&told);
	sigaddset(&told, SIGUSR1);
	sigprocmask(SIG_BLOCK, &told, NULL);
	raise(SIGSTOP);
	sigwait(&told, &n);
	_exit(3);
}

// A quarter of a second of user time, and a child that has taken a part of it.
static void burns(void)
{
	struct rusage u;
	pid_t pid = fork();
	do {
		for (volatile int i = 0; i < 1000000; i++)
			;
		getrusage(RUSAGE_SELF, &u);
	} while (u.ru_utime.tv_sec * 1000000 + u.ru_utime.tv_usec < 125000);
	if (pid != 0)
		waitpid(pid, NULL, 0);
	_exit(0);
}

static void say(const char *what, long result, int status, const struct rusage *usage)
{
	int err = errno;
	printf("%s: %s errno %d status %x", what, result == child ? "child" : result == 0 ? "0" : result == -1 ? "-1" : "other", err, status);
	if (usage != NULL)
		printf(" burnt %d rss %d", usage->ru_utime.tv_sec * 1000000 + usage->ru_utime.tv_usec >= 200000, usage->ru_maxrss > 0);
	printf("\n");
	if (result > 0 && (WIFEXITED(status) || WIFSIGNALED(status)))
		fprintf(reaped, "%d %x\n", child, status);
}

static void say_info(const char *what, int result, const siginfo_t *info, bool gone)
{
	int err = errno;
	printf("%s: %d errno %d signo %d code %d %s uid %d status %d\n", what, result, err, info->si_signo, info->si_code,
	       info->si_pid == child ? "child" : info->si_pid == 0 ? "0" : "other", info->si_uid == getuid(), info->si_status);
	if (gone && result == 0)
		fprintf(reaped, "%d %x\n", child, info->si_code == CLD_EXITED ? info->si_status << 8 : info->si_status);
}

#define TRY(call)                                                                                                                  \
	do {                                                                                                                       \
		int status = 0x137f;                                                                                               \
		struct rusage usage __attribute__((unused)) = {0}, *used = NULL;                                                                       \
		errno = 4242;                                                                                                      \
		long result = call;                                                                                                \
		say(#call, result, status, used);                                                                                  \
	} while (0)

#define TRY_ID(call, gone)                                                                                                         \
	do {                                                                                                                       \
		siginfo_t info;                                                                                                    \
		memset(&info, 0x55, sizeof(info));                                                                                 \
		errno = 4242;                                                                                                      \
		int result = call;                                                                                                 \
		say_info(#call, result, &info, gone);                                                                              \
	} while (0)

static void each_way(void (*life)(void))
{
	start(life);
	TRY(wait(&status));
	start(life);
	TRY(__wait(&status));
	start(life);
	TRY(waitpid(child, &status, 0));
	start(life);
	TRY(__waitpid(-1, &status, 0));
	start(life);
	TRY(waitpid(0, &status, WUNTRACED | WCONTINUED));
	start(life);
	TRY(waitpid(-getpgrp(), &status, __WALL));
	start(life);
	TRY(wait3(&status, 0, NULL));
	start(life);
	TRY((used = &usage, wait3(&status, 0, used)));
	start(life);
	TRY(wait4(child, &status, 0, NULL));
	start(life);
	TRY((used = &usage, wait4(-1, &status, 0, used)));
	start(life);
	TRY_ID(waitid(P_PID, child, &info, WEXITED), true);
	start(life);
	TRY_ID(waitid(P_ALL, 0, &info, WEXITED | WSTOPPED), true);
	start(life);
	TRY_ID(waitid(P_PGID, getpgrp(), &info, WEXITED), true);
	start(life);
	int fd = syscall(SYS_pidfd_open, child, 0);
	TRY_ID(waitid(P_PIDFD, fd, &info, WEXITED), true);
	close(fd);
}

// Only that nobody wants to know the status is not seen by say.
static void without_a_place_for_the_answer(void)
{
	start(exits);
	TRY(wait(NULL));
	fprintf(reaped, "%d 700\n", child);
	start(exits);
	TRY(waitpid(child, NULL, 0));
	fprintf(reaped, "%d 700\n", child);
	start(dies);
	TRY(wait3(NULL, 0, NULL));
	fprintf(reaped, "%d f\n", child);
	start(exits);
	TRY((used = &usage, wait4(-1, NULL, 0, used)));
	fprintf(reaped, "%d 700\n", child);
	start(dies);
	TRY(waitid(P_PID, child, NULL, WEXITED));
	fprintf(reaped, "%d f\n", child);
	TRY(wait(NULL));
	// The kernel reaps the child and then finds no place.
	start(exits);
	TRY(waitpid(child, (int *)16, 0));
	TRY(waitpid(child, &status, 0));
	start(exits);
	TRY(wait4(child, &status, 0, (struct rusage *)16));
	TRY(waitpid(child, &status, 0));
	start(exits);
	TRY(waitid(P_PID, child, (siginfo_t *)16, WEXITED));
	TRY(waitpid(child, &status, 0));
}

static void what_does_not_reap(void)
{
	TRY(wait(&status));
	TRY(waitpid(-1, &status, WNOHANG));
	TRY_ID(waitid(P_ALL, 0, &info, WEXITED), false);
	start(stays);
	TRY(waitpid(child, &status, WNOHANG));
	TRY((used = &usage, wait4(child, &status, WNOHANG, used)));
	TRY_ID(waitid(P_PID, child, &info, WEXITED | WNOHANG), false);
	TRY(waitid(P_PID, child, NULL, WEXITED | WNOHANG));
	TRY(waitpid(child, &status, 0x10000));
	TRY(waitpid(1 << 30, &status, 0));
	TRY(waitpid((pid_t)0x80000000, &status, 0));
	TRY_ID(waitid(P_PID, child, &info, 0), false);
	TRY_ID(waitid(99, child, &info, WEXITED), false);
	TRY_ID(waitid(P_PID, child, &info, WNOHANG | WSTOPPED), false);
	kill(child, SIGTERM);
	TRY_ID(waitid(P_PID, child, &info, WEXITED | WNOWAIT), false);
	TRY_ID(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | WNOHANG), false);
	TRY(waitpid(child, &status, 0));
}

static void stops_and_goes_on(void)
{
	start(stops);
	TRY(waitpid(child, &status, WUNTRACED));
	kill(child, SIGCONT);
	TRY(waitpid(child, &status, WCONTINUED));
	kill(child, SIGUSR1);
	TRY(waitpid(child, &status, WUNTRACED));
	start(stops);
	TRY_ID(waitid(P_PID, child, &info, WSTOPPED | WEXITED), false);
	kill(child, SIGCONT);
	TRY_ID(waitid(P_PID, child, &info, WCONTINUED), false);
	kill(child, SIGUSR1);
	TRY_ID(waitid(P_PID, child, &info, WSTOPPED | WEXITED), true);
}

static void note(int n)
{
	(void)n;
}

static void interrupted(void)
{
	sigaction(SIGALRM, &(struct sigaction){.sa_handler = note}, NULL);
	start(stays);
	ualarm(50000, 50000); // again and again: the first may come before the wait
	TRY(waitpid(child, &status, 0));
	TRY_ID(waitid(P_PID, child, &info, WEXITED), false);
	ualarm(0, 0);
	kill(child, SIGTERM);
	TRY(wait(&status));
}

static void *waits(void *how)
{
	if (how == NULL)
		waitpid(child, NULL, 0);
	else
		waitid(P_PID, child, NULL, WEXITED);
	return NULL;
}

static void cancelled(void *how)
{
	pthread_t thread;
	void *result;
	start(stays);
	pthread_create(&thread, NULL, waits, how);
	usleep(20000); // either way it must end
	pthread_cancel(thread);
	pthread_join(thread, &result);
	printf("cancelled %d\n", result == PTHREAD_CANCELED);
	int type;
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
	printf("type %d\n", type == PTHREAD_CANCEL_DEFERRED);
	kill(child, SIGTERM);
	TRY_ID(waitid(P_PID, child, &info, WEXITED), true);
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
	printf("type %d\n", type == PTHREAD_CANCEL_DEFERRED);
}

int main(void)
{
	reaped = fopen("reaped", "we");
	each_way(exits);
	each_way(dies);
	each_way(aborts);
	start(burns);
	TRY((used = &usage, wait4(child, &status, 0, used)));
	start(burns);
	TRY(wait(&status));
	start(burns);
	TRY_ID(waitid(P_PID, child, &info, WEXITED), true);
	without_a_place_for_the_answer();
	what_does_not_reap();
	stops_and_goes_on();
	interrupted();
	cancelled(NULL);
	cancelled(reaped);
	signal(SIGCHLD, SIG_IGN);
	start(exits);
	TRY(wait(&status));
	signal(SIGCHLD, SIG_DFL);
	fclose(reaped);
	return 0;
}
