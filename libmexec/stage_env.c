// The environment setter: a script of this node that the shell reads before the job, and whose environment becomes the job's.
//
// It runs in a child. To let the shell replace the stage and come back by execve, as `. script; exec job` does by hand, was refused: what
// the script leaves in the background would hold the job's descriptors and the daemon's channel, and what it changes besides the environment
// (directory, limits, traps) would reach the job.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stage.h"

enum {
	CHILD_RESULT = 3, // the memory file that takes the environment
	CHILD_STAGE = 4,  // this program: by path the job's user might not reach it
};

_Noreturn static void run_script(const struct stage *s, int result)
{
	int self = aside(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), STEP_ENVSETTER);
	int null = aside(open("/dev/null", O_RDONLY | O_CLOEXEC), STEP_ENVSETTER);
	int news = aside(dup(CHANNEL), STEP_ENVSETTER);
	dup2(null, 0);
	dup2(LOG, 1);
	dup2(LOG, 2);
	dup2(result, CHILD_RESULT);
	dup2(self, CHILD_STAGE);
	mask(0);
	char *argv[] = { "sh", "-c", ". \"$0\" && exec \"$@\"", (char *)s->envsetter, "/proc/self/fd/4", "--resume", 0 };
	execve("/bin/sh", argv, s->envp);
	int err = errno;
	dup2(news, CHANNEL);
	fail(STEP_ENVSETTER, err, 0);
}

static void take_environment(struct stage *s, int result, int status)
{
	struct stat st;
	if (fstat(result, &st))
		fail(STEP_ENVSETTER, errno, 0);
	uint32_t count;
	if (status || st.st_size < (off_t)sizeof count)
		fail(STEP_ENVSETTER, 0, (uint32_t)status);
	char *map = mmap(0, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, result, 0);
	if (map == MAP_FAILED)
		fail(STEP_ENVSETTER, errno, 0);
	memcpy(&count, map, sizeof count);
	if (count > st.st_size)
		fail(STEP_ENVSETTER, EINVAL, 0);
	s->envp = pages((count + 1ull) * sizeof *s->envp, STEP_ENVSETTER);
	if (!vector(s->envp, count, map + sizeof count, map + st.st_size))
		fail(STEP_ENVSETTER, EINVAL, 0);
}

void set_environment(struct stage *s)
{
	// A name without a slash is the shell's to find, in PATH. To some shells a directory is an empty script.
	if (strchr(s->envsetter, '/')) {
		struct stat st;
		if (access(s->envsetter, R_OK) || stat(s->envsetter, &st))
			fail(STEP_ENVSETTER, errno, 0);
		if (S_ISDIR(st.st_mode))
			fail(STEP_ENVSETTER, EISDIR, 0);
	}
	fcntl(LOG, F_SETFD, FD_CLOEXEC); // Linux before 5.11 has not had that done
	int result = aside(memfd_create("environment", MFD_CLOEXEC), STEP_ENVSETTER);
	dispositions(s->head->ignored, 0); // SIGCHLD above all: ignored, there would be no child to wait for
	pid_t pid = fork();
	if (pid < 0)
		fail(STEP_ENVSETTER, errno, 0);
	if (pid == 0)
		run_script(s, result);
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fail(STEP_ENVSETTER, errno, 0);
	take_environment(s, result, status);
	close(result);
	if (report(STEP_READY, 0, 0))
		_exit(1);
}

static int write_all(const char *from, size_t size)
{
	while (size) {
		ssize_t n = write(CHILD_RESULT, from, size);
		if (n < 0)
			return -1;
		from += n;
		size -= (size_t)n;
	}
	return 0;
}

// resume is the script's last command: it writes down what the shell left. The kernel lays the strings of an environment one after the
// other, so one write takes them all.
int resume(char **envp)
{
	uint32_t count = 0;
	while (envp[count])
		count++;
	if (write_all((const char *)&count, sizeof count))
		return 1;
	if (!count)
		return 0;
	const char *end = strchr(envp[count - 1], 0) + 1;
	return write_all(envp[0], (size_t)(end - envp[0])) ? 1 : 0;
}
