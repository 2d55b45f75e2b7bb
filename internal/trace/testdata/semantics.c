// What a static tool may rely on, said in lines: the test compares what it says traced and alone. It executes /usr/bin/env in each way.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *const env[] = {"env", "sh", "-c", "exit 5", NULL};
static volatile sig_atomic_t value, children;

static void took(int n, siginfo_t *info, void *context)
{
	(void)context;
	if (n == SIGCHLD)
		children++;
	else
		value = info->si_value.sival_int * 1000 + (info->si_code == SI_QUEUE) * 100 + (info->si_pid == getpid()) * 10;
}

static void waited(const char *how, pid_t pid)
{
	int status = -1;
	pid_t got;
	while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	printf("%s: %d, exited %d, code %d\n", how, got == pid, WIFEXITED(status), WEXITSTATUS(status));
}

static void stops(void)
{
	int status, go[2];
	char c = 0;
	if (pipe(go) != 0)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		raise(SIGSTOP);
		read(go[0], &c, 1); // a stop too early would hide that it was continued
		raise(SIGTSTP);
		read(go[0], &c, 1);
		_exit(6);
	}
	for (int i = 0; i < 2; i++) {
		waitpid(pid, &status, WUNTRACED);
		printf("stopped %d by %d\n", WIFSTOPPED(status), WIFSTOPPED(status) ? WSTOPSIG(status) : 0);
		kill(pid, SIGCONT);
		waitpid(pid, &status, WCONTINUED);
		printf("continued %d\n", WIFCONTINUED(status));
		write(go[1], &c, 1);
	}
	waited("after stops", pid);
	close(go[0]);
	close(go[1]);
}

static void *execute(void *unused)
{
	execl("/proc/self/exe", "semantics", "again", NULL);
	return unused;
}

static int clone_child(void *unused)
{
	(void)unused;
	execve("/usr/bin/env", env, environ);
	_exit(errno);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1) {
		printf("%s: %s, alone\n", argv[0], argv[1]);
		pid_t pid = fork();
		if (pid == 0)
			execv("/usr/bin/env", env);
		waited("after all", pid);
		return 9;
	}
	setpgid(0, 0); // in a group that nobody of its session has begun, as under a daemon, the kernel discards SIGTSTP
	struct sigaction a = {.sa_sigaction = took, .sa_flags = SA_SIGINFO};
	sigaction(SIGUSR1, &a, NULL);
	sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 7});
	printf("value %d\n", (int)value);
	stops();

	pid_t pid = fork();
	if (pid == 0)
		execv("/usr/bin/env", env);
	waited("fork", pid);
	pid = vfork();
	if (pid == 0) {
		execv("/usr/bin/env", env);
		_exit(1);
	}
	waited("vfork", pid);
	int err = posix_spawn(&pid, "/usr/bin/env", NULL, NULL, env, environ);
	printf("%d ", err);
	waited("posix_spawn", pid);
	printf("%d of nothing\n", posix_spawn(&pid, "/nonexistent", NULL, NULL, env, environ));
	static char stack[1 << 16];
	pid = clone(clone_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	waited("clone", pid);
	pid = fork();
	if (pid == 0) {
		int fd = open("/usr/bin/env", O_RDONLY | O_CLOEXEC);
		syscall(SYS_execveat, fd, "", env, environ, AT_EMPTY_PATH);
		_exit(1);
	}
	waited("execveat", pid);
	pid = fork();
	if (pid == 0) {
		sigset_t mask;
		sigemptyset(&mask);
		sigaddset(&mask, SIGUSR2);
		sigprocmask(SIG_BLOCK, &mask, NULL);
		raise(SIGUSR2); // pending, and stays so
		execl("/bin/grep", "grep", "-E", "^Sig(Blk|Pnd|Ign)|^ShdPnd", "/proc/self/status", NULL);
		_exit(1);
	}
	waited("pending", pid);
	int ends[2];
	if (pipe(ends) != 0)
		return 1;
	a.sa_flags |= SA_RESTART;
	sigaction(SIGCHLD, &a, NULL);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		execl("/bin/sh", "sh", "-c", "exit 3", NULL);
	}
	close(ends[1]);
	char c;
	printf("end of file %zd\n", read(ends[0], &c, 1));
	waited("restarted", pid);
	printf("children %d\n", (int)children);
	fflush(stdout);
	pthread_t other;
	pthread_create(&other, NULL, execute, NULL);
	pthread_join(other, NULL);
	return 1;
}
