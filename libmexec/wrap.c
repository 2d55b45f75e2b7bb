#include "wrap.h"

#include <string.h>

void wrap(const char **to, const char *option, const char *path, char *const argv[], size_t argc)
{
	*to++ = "mexec";
	*to++ = option;
	if (strcmp(argv[0], path) != 0) {
		*to++ = "-a";
		*to++ = argv[0];
	}
	*to++ = "--";
	*to++ = path;
	memcpy(to, argv + 1, argc * sizeof(*to)); // with the NULL
}
