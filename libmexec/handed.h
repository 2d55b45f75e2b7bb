// What mpmake and mprun hand to drivers by the environment, for children of a tool that gives them an environment of its own, as SCons does.
//
// Without it the stub would not know whose command it is (the build would not count it, and without a daemon nothing would bound how many run), and a
// nested driver would be none. The stub takes it out again: the command has the environment that the tool meant.
#ifndef MEXEC_HANDED_H
#define MEXEC_HANDED_H

#include <stdbool.h>
#include <stddef.h>

// remember_handed keeps what this process was handed: the tool may change its environment.
void remember_handed(void);

// handed_room is how many pointers hand_on writes, 0 where the environment has all that it needs. The stub needs two variables, a driver all.
size_t handed_room(char *const envp[], bool driver);

// hand_on is the environment with what it lacks in front, in room. It writes nothing else: vfork's child may call it.
char *const *hand_on(char *const envp[], bool driver, const char **room);

// plain_room is how many pointers plain writes, 0 where there is nothing to take out.
size_t plain_room(char *const envp[]);

// plain is the environment as the stub leaves it to a command, for one that goes without the stub: with the rest of LD_PRELOAD, as long as the tool has not
// changed that. A program that has nothing to do with us starts a tenth of a millisecond sooner without our library.
char *const *plain(char *const envp[], const char **room);

#endif
