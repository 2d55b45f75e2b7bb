// The wait family, in front of the C library's: what a driver waits for is noted with what it has used.
//
// Each is the call that the C library would make, with a place for the usage where the caller had none. In a program that is no driver
// each is the C library's own. Waits of the C library itself (system, pclose) are not seen; what they wait for counts as the
// driver's own.
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdbool.h>

#include "journal.h"

#define EXPORT __attribute__((visibility("default")))

#pragma weak pthread_setcanceltype // not in the C library proper before glibc 2.34

static struct {
	pid_t (*wait)(int *);
	pid_t (*waitpid)(pid_t, int *, int);
	pid_t (*wait3)(int *, int, struct rusage *);
	pid_t (*wait4)(pid_t, int *, int, struct rusage *);
	int (*waitid)(idtype_t, id_t, siginfo_t *, int);
} real;

__attribute__((constructor)) static void load(void)
{
	if (real.waitid != NULL)
		return;
	*(void **)&real.wait = dlsym(RTLD_NEXT, "wait");
	*(void **)&real.waitpid = dlsym(RTLD_NEXT, "waitpid");
	*(void **)&real.wait3 = dlsym(RTLD_NEXT, "wait3");
	*(void **)&real.wait4 = dlsym(RTLD_NEXT, "wait4");
	*(void **)&real.waitid = dlsym(RTLD_NEXT, "waitid");
}

#define REAL(name) (load(), real.name)

static pid_t reap(pid_t pid, int *status, int options, struct rusage *usage)
{
	int own_status;
	struct rusage own_usage;
	if (status == NULL)
		status = &own_status;
	if (usage == NULL)
		usage = &own_usage;
	pid_t ended = real.wait4(pid, status, options, usage);
	if (ended > 0 && (WIFEXITED(*status) || WIFSIGNALED(*status)))
		note_reaped(ended, *status, usage);
	return ended;
}

EXPORT pid_t wait(int *status)
{
	pid_t (*direct)(int *) = REAL(wait);
	return has_journal() ? reap(-1, status, 0, NULL) : direct(status);
}

EXPORT pid_t waitpid(pid_t pid, int *status, int options)
{
	pid_t (*direct)(pid_t, int *, int) = REAL(waitpid);
	return has_journal() ? reap(pid, status, options, NULL) : direct(pid, status, options);
}

EXPORT pid_t wait3(int *status, int options, struct rusage *usage)
{
	pid_t (*direct)(int *, int, struct rusage *) = REAL(wait3);
	return has_journal() ? reap(-1, status, options, usage) : direct(status, options, usage);
}

EXPORT pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
	pid_t (*direct)(pid_t, int *, int, struct rusage *) = REAL(wait4);
	return has_journal() ? reap(pid, status, options, usage) : direct(pid, status, options, usage);
}

// The names by which the C library's old static parts know two of them.
EXPORT pid_t __wait(int *status) __attribute__((alias("wait")));
EXPORT pid_t __waitpid(pid_t pid, int *status, int options) __attribute__((alias("waitpid")));

static int status_of(const siginfo_t *info)
{
	switch (info->si_code) {
	case CLD_EXITED:
		return (info->si_status & 0xff) << 8;
	case CLD_DUMPED:
		return info->si_status | WCOREFLAG;
	default:
		return info->si_status;
	}
}

// The kernel's call can tell the usage, the C library's can't. It is a point of cancellation, made as glibc made its own up to 2.40.
static int reap_by_id(idtype_t type, id_t id, siginfo_t *info, int options)
{
	siginfo_t own_info;
	struct rusage usage;
	int before;
	if (info == NULL)
		info = &own_info;
	if (pthread_setcanceltype != NULL)
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
	int result = syscall(SYS_waitid, type, id, info, options, &usage);
	if (pthread_setcanceltype != NULL)
		pthread_setcanceltype(before, NULL);
	if (result == 0 && info->si_signo == SIGCHLD &&
	    (info->si_code == CLD_EXITED || info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED))
		note_reaped(info->si_pid, status_of(info), &usage);
	return result;
}

// What does not reap is none of ours.
EXPORT int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	int (*direct)(idtype_t, id_t, siginfo_t *, int) = REAL(waitid);
	bool reaps = (options & WEXITED) && !(options & WNOWAIT);
	return has_journal() && reaps ? reap_by_id(type, id, info, options) : direct(type, id, info, options);
}
