// A make that is told to end waits for its recipes before it deletes their targets, and ends what they have left behind.
#ifndef MEXEC_SETTLE_H
#define MEXEC_SETTLE_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

// settled gives the handler that is to be installed in place of a make's own for sig, and remembers that; another's action stays as it is. The old
// action that sigaction then tells of goes through unsettled, which names the make's own again. Both leave everything alone where they are not needed.
const struct sigaction *settled(int sig, const struct sigaction *action, struct sigaction *room);
void unsettled(int sig, struct sigaction *old);

// note_child tells of a child that make has started, or is about to execute in this process. vfork's child may; errno stays as it is.
void note_child(pid_t pid);

// was_told says that a child of ours has had the SIGTERM that make is about to send to it.
bool was_told(pid_t pid, int sig);

#endif
