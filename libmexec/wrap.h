// The stub in front of a program.
#ifndef MEXEC_WRAP_H
#define MEXEC_WRAP_H

#include <stddef.h>

enum { WRAP_EXTRA = 7 }; // "mexec" "-p" "-a" ARGV0 "--" PATH in place of argv[0], and the NULL

// wrap writes the stub's arguments into to, which holds argc + WRAP_EXTRA. argc is at least 1. The option is -p, or -t for a program that is not to travel.
void wrap(const char **to, const char *option, const char *path, char *const argv[], size_t argc);

#endif
