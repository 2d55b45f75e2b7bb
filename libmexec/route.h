// Which of a driver's spawns go behind the stub.
#ifndef MEXEC_ROUTE_H
#define MEXEC_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "journal.h"

// A way is what becomes of one spawn of a driver: the stub's pathname and how many arguments there are, or NULL for as it is, and why. Where there is a
// journal it has the kind of what travels, or would but for being short. What is bare stays and starts no driver: it needs nothing of ours in its environment.
// traced is the stub's pathname for what stays and starts others, where we can't be loaded: the stub has it traced, in place of us, and executes it here.
struct way {
	const char *stub, *traced;
	size_t argc;
	enum kept why;
	uint64_t kind;
	bool bare;
};

// is_driver tells whether what is kept for that reason starts others, which travel.
static inline bool is_driver(enum kept why)
{
	return why == KEPT_MAKE || why == KEPT_OURS || why == KEPT_RECURSIVE || why == KEPT_DRIVES;
}

// start_routing looks, once, at the process that loaded us.
void start_routing(void);

// is_make says that this process is a make that we serve, and no child of it.
bool is_make(void);

// route decides on one spawn. It allocates nothing, takes no lock, writes no memory but its own stack and leaves errno alone: vfork's
// child may ask. What is executed in the place of this process stays.
struct way route(const char *path, char *const argv[], char *const envp[], bool in_place);

// route_along does so for a file that is looked for along PATH; *path becomes what was found, or lies in room.
struct way route_along(const char *file, char *const argv[], char *const envp[], bool in_place, char *room, const char **path);

// A $(shell) is the one child of make that writes into a pipe of make's own: recipes write where make writes, or with -O to a file. It
// is told by the file actions of its posix_spawn, or after a fork by its descriptor 1 (executes_here). note_output is told what actions make of descriptor 1,
// -1 for nothing (yet).
void note_output(const void *actions, int fd);
bool is_shell_function(const void *actions, struct way *way);
// Actions may lead into another directory, where a relative name is another file than the one that was looked at here: it stays, once this process has made
// such actions. Which they are can't be told from outside.
void note_directories(void);
void stay_if_elsewhere(struct way *way, const void *actions, const char *file, bool along);

// is_captured says that a child of make's whose descriptor 1 this is is a $(shell).
bool is_captured(const struct stat *output);
// executes_here is for a function of the exec family: so does a $(shell).
bool executes_here(struct way *way);
// takes_place is for one, too: the program is to take the place of this process, a driver but no make.
bool takes_place(void);

#endif
