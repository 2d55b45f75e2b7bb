// Which file execvp(3) would execute. No allocation, no lock: the preload asks inside vfork's child.
#ifndef MEXEC_SEARCH_H
#define MEXEC_SEARCH_H

#include <limits.h>
#include <sys/stat.h>

// probe says whether execve would take path: 0 and its stat, or execve's errno.
int probe(const char *path, struct stat *st);

// search finds file along path_list (NULL: the C library's default) by execvp's rules. A name with a slash is found where it says. What is asked of each
// place is probe, or what goes deeper than that: execvp goes on where a script's interpreter is missing.
// 0, the stat and *found, which is file itself or lies in room; or the errno that execvp would end with.
typedef int prober(const char *path, struct stat *st);
int search(const char *file, const char *path_list, prober *ask, char room[PATH_MAX], const char **found, struct stat *st);

#endif
