// mexec-test CMD [ARG...]: the original's `test`. It executes CMD through libmexec, which shows that library, stub and daemon work.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mexec.h"

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: mexec-test CMD [ARG...]\n");
		return 2;
	}
	mexecvp(argv[1], argv + 1);
	int err = errno;
	fprintf(stderr, "mexec-test: %s: %s\n", argv[1], strerror(err));
	return err == ENOENT ? 127 : 126;
}
