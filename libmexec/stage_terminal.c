// The job's controlling terminal. The supervisor leads the session that has it, and the job is its foreground group.
//
// The job itself as leader was refused: its parent would be of another session, so that its group counted as orphaned, and the kernel
// would discard the SIGTSTP that a program stops itself with on Ctrl-Z.
#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "stage.h"

void take_terminal(void)
{
	if (setsid() < 0)
		fail(STEP_TERMINAL, errno, 0);
	for (int fd = 0; fd < 3; fd++)
		if (!ioctl(fd, TIOCSCTTY, 0))
			return;
	fail(STEP_TERMINAL, errno, 0);
}

// The supervisor has blocked all signals, so that SIGTTOU does not stop us.
void take_foreground(void)
{
	pid_t self = getpid();
	for (int fd = 0; fd < 3; fd++)
		if (!ioctl(fd, TIOCSPGRP, &self))
			return;
	fail(STEP_TERMINAL, errno, 0);
}
