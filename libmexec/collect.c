// Functions, and not inlined ones: the headers say that first is never NULL, and callers who want no arguments at all say otherwise.
#include "collect.h"

size_t count_arguments(const char *first, va_list list)
{
	size_t n = 0;
	for (const char *arg = first; arg != NULL; arg = va_arg(list, char *))
		n++;
	return n;
}

void collect_arguments(char **argv, const char *first, va_list *list)
{
	*argv = (char *)first;
	while (*argv != NULL)
		*++argv = va_arg(*list, char *);
}
