// Which of a make's spawns go behind the stub.
#ifndef MEXEC_ROUTE_H
#define MEXEC_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

enum { WRAP_EXTRA = 7 }; // "mexec" "-p" "-a" ARGV0 "--" PATH in place of argv[0], and the NULL

// start_routing looks, once, at the process that loaded us.
void start_routing(void);

// route decides on one spawn: the stub's pathname, or NULL for as it is. It allocates nothing, takes no lock, writes no memory but
// its own stack and leaves errno alone: vfork's child may ask. *argc is set where the answer is not NULL.
const char *route(const char *path, char *const argv[], char *const envp[], size_t *argc);

// route_along does so for a file that is looked for along PATH; *path becomes what was found, or lies in room.
const char *route_along(const char *file, char *const argv[], char *const envp[], size_t *argc, char *room, const char **path);

// wrap writes the stub's arguments into to, which holds argc + WRAP_EXTRA.
void wrap(const char **to, const char *path, char *const argv[], size_t argc);

// A $(shell) of make 4.3 gets make's own environment; what a recipe gets was made for it.
bool is_shell_function(char *const envp[]);

#endif
