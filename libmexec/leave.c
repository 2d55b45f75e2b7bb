#include "leave.h"

#include <stdbool.h>
#include <string.h>

static const char shim[] = "libmexec-preload.so";

static bool is_shim(const char *entry, size_t length)
{
	size_t n = sizeof(shim) - 1;
	return length >= n && memcmp(entry + length - n, shim, n) == 0 && (length == n || entry[length - n - 1] == '/');
}

void leave_list(char *list)
{
	char *at = list;
	for (;;) {
		size_t n = strcspn(at, ": ");
		if (is_shim(at, n)) {
			if (at[n] != '\0') { // with the separator behind it
				memmove(at, at + n + 1, strlen(at + n + 1) + 1);
				continue;
			}
			at[at > list ? -1 : 0] = '\0'; // the last one: with the separator before it
			return;
		}
		if (at[n] == '\0')
			return;
		at += n + 1;
	}
}
