// The arguments of execl and its kin, as an array on the caller's stack.
#ifndef MEXEC_COLLECT_H
#define MEXEC_COLLECT_H

#include <stdarg.h>
#include <stddef.h>

// How many arguments there are up to the NULL.
size_t count_arguments(const char *first, va_list list);

// By address: execle reads on where this stops.
void collect_arguments(char **argv, const char *first, va_list *list);

// COLLECT declares argv, and list, which the caller ends.
#define COLLECT(argv, first)                                                                                                       \
	va_list list, again;                                                                                                       \
	va_start(list, first);                                                                                                     \
	va_copy(again, list);                                                                                                      \
	char *argv[count_arguments(first, again) + 1];                                                                             \
	va_end(again);                                                                                                             \
	collect_arguments(argv, first, &list)

#endif
