#!/bin/sh
# The names that a program gets from the library are those of mexec.h, and mexec.3 tells of each.
set -eu
bin=$1 here=$(dirname "$0")
declared=$(sed -n 's/^int \([a-z]*\)(.*/\1/p' "$here/../mexec.h" | sort)
check() {
	[ "$2" = "$declared" ] || { echo "$1 has" $2 "and mexec.h" $declared; exit 1; }
}
check libmexec.a "$(nm -g --defined-only "$bin/libmexec.a" | sed -n 's/.* [A-Z] //p' | sort)"
check libmexec.so "$(nm -D --defined-only "$bin/libmexec.so" | sed -n 's/.* [BDRTW] \(.*\)@@MEXEC_0$/\1/p' | sort)"
check libmexec.so "$(nm -D --defined-only "$bin/libmexec.so" | sed -n 's/.* [BDRTW] \([^@]*\).*/\1/p' | sort)"
check mexec.3 "$(sed -n 's/^\.Fo \([a-z]*\)$/\1/p' "$here/../../packaging/man/mexec.3" | sort)"
