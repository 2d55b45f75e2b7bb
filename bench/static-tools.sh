#!/bin/sh
# What tracing a static tool costs for each program that it starts, beside what the preload shim costs a dynamic one: the same loop of posix_spawn,
# linked in both ways. Everything runs on this machine. The least of ROUNDS rounds of 200 programs each, in turns.
# usage: bench/static-tools.sh [ROUNDS]
set -eu
rounds=${1:-15}
cd "$(dirname "$0")/.."
make -s all >/dev/null
t=tmp/static-tools
mkdir -p $t
cat >$t/loop.c <<'END'
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
extern char **environ;
int main(int argc, char **argv)
{
	struct timespec a, b;
	int n = atoi(argv[1]), status;
	(void)argc;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < n; i++) {
		pid_t pid;
		if (posix_spawn(&pid, argv[2], NULL, NULL, argv + 2, environ) != 0 || waitpid(pid, &status, 0) != pid || status != 0)
			return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%ld\n", ((b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec) / 1000 / n);
}
END
gcc -O2 -o $t/dynamic $t/loop.c
gcc -O2 -static -o $t/static $t/loop.c

echo 'local = ["true"]' >$t/.mexec.toml # what is kept
mkdir -p $t/there
echo 'travel = ["true"]' >$t/there/.mexec.toml # what goes behind the stub, and stays on this machine all the same
one() { # NAME DIRECTORY COMMAND...
	name=$1 dir=$2
	shift 2
	(cd "$dir" && "$@" 200 /bin/true 2>/dev/null) >>$t/"$name"
}
top=$PWD
for name in plain-dynamic plain-static kept-shim kept-traced stub-shim stub-traced; do : >$t/$name; done
for _ in $(seq "$rounds"); do
	one plain-dynamic $t "$top/$t/dynamic"
	one plain-static $t "$top/$t/static"
	one kept-shim $t "$top/bin/mprun" "$top/$t/dynamic"
	one kept-traced $t "$top/bin/mprun" "$top/$t/static"
	one stub-shim $t/there "$top/bin/mprun" "$top/$t/dynamic"
	one stub-traced $t/there "$top/bin/mprun" "$top/$t/static"
done
for name in plain-dynamic plain-static kept-shim kept-traced stub-shim stub-traced; do
	printf '%-14s %5s us\n' $name "$(sort -n $t/$name | head -n1)"
done
