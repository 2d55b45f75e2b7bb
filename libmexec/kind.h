// What kind of command this is: a number that is the same for commands that are likely to take as long as each other.
//
// It is made of the program's base name and the shape of its arguments: which options there are, in whatever order and however often, and of an interpreter
// which script. A shell's line is as its commands are, taken together. Names of files and numbers do not count, so that a thousand recipes of one rule are
// one kind. Two kinds may have one number by chance.
#ifndef MEXEC_KIND_H
#define MEXEC_KIND_H

#include <stdint.h>

// kind_of is never 0. It allocates nothing, writes no memory but its stack and looks at no more than a few KiB. argv may be NULL.
uint64_t kind_of(const char *path, char *const argv[]);

#endif
