#!/bin/sh
# mexec.h stands alone, in old C and C++; both link with the library in each of its forms, and dlopen loads it.
set -eu
bin=$1 into=$2
flags="-I$(dirname "$0")/.. -pedantic-errors -Wall -Wextra -Werror"
cat >"$into/uses.c" <<'END'
#include <mexec.h>
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
int main(int argc, char **argv)
{
	int (*function)(const char *, char *const *) = mexecvp;
	char *none[] = {NULL};
	if (argc > 1) {
		void *library = dlopen(argv[1], RTLD_LAZY | RTLD_LOCAL);
		*(void **)&function = library == NULL ? NULL : dlsym(library, "mexecxvp");
	}
	return function == NULL || function("/none/such", none) != -1 || errno != ENOENT;
}
END
for compiler in "gcc -std=c89 -Wstrict-prototypes" "g++ -std=c++98"; do
	command -v ${compiler%% *} >/dev/null || { echo "uses: no ${compiler%% *}"; continue; }
	for library in libmexec.a libmexec.so.0; do
		$compiler $flags -o "$into/uses" "$into/uses.c" "$bin/$library" -ldl
		LD_LIBRARY_PATH=$bin "$into/uses" && LD_LIBRARY_PATH=$bin "$into/uses" "$bin/libmexec.so" || { echo "$compiler, $library"; exit 1; }
	done
done
