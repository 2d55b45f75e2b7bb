#!/bin/sh
# What starting the stub costs, by the C library and the flags it is built with, and what it holds in memory while it waits.
# usage: bench/stub-start.sh [ROUNDS]
set -eu
rounds=${1:-2000}
cd "$(dirname "$0")/../libmexec"
make -s all ../tmp/libmexec/start_bench
t=../tmp/libmexec/variants
mkdir -p $t

# The stub's own sources, read from its Makefile, with another compiler or other flags.
stub() { # NAME CC FLAGS
	name=$1 cc=$2
	shift 2
	$cc -std=gnu11 -D_GNU_SOURCE -DMEXEC_VERSION='"bench"' -static -s "$@" -o $t/"$name" \
		$(sed -n 's/^STUB := //p' Makefile)
}
small='-ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,-z,noseparate-code -Wl,-z,norelro -Wl,--build-id=none'
stub glibc-static gcc -Os $small
set -- $t/glibc-static
if command -v musl-gcc >/dev/null; then
	stub musl-Os musl-gcc -Os $small
	stub musl-O2 musl-gcc -O2 $small
	stub musl-plain-link musl-gcc -Os
	stub musl-canary musl-gcc -Os -fstack-protector-strong $small
	set -- $t/musl-Os $t/musl-O2 $t/musl-plain-link $t/musl-canary "$@"
	echo 'int main(void) { return 0; }' | musl-gcc -Os -static -s $small -x c - -o $t/nothing-musl
fi
# The least that any program costs: no C library, one system call.
case $(uname -m) in
x86_64) exit_call='mov $60,%eax; xor %edi,%edi; syscall' ;;
aarch64) exit_call='mov x8,#93; mov x0,#0; svc #0' ;;
*) exit_call= ;;
esac
if [ -n "$exit_call" ]; then
	printf '__asm__(".globl _start\\n_start: %s");\n' "$exit_call" | gcc -nostdlib -static -s $small -x c - -o $t/nothing-nolibc
fi

PATH=$(pwd)/../bin:$PATH
echo "start to end, as --version (nothing but the start), $rounds rounds in turns:"
kinds="/bin/true"
for p in $t/nothing-nolibc $t/nothing-musl "$@"; do
	[ -x "$p" ] || continue
	case $p in */nothing-*) kinds="$kinds -- $p" ;; *) kinds="$kinds -- $p --version" ;; esac
done
../tmp/libmexec/start_bench "$rounds" $kinds
echo "a command with no daemon there, against the command alone:"
MEXEC_SOCKET=/nonexistent ../tmp/libmexec/start_bench "$rounds" /bin/true -- ../bin/mexec /bin/true
for p in "$@"; do
	echo "memory of $p while a job runs elsewhere:"
	../tmp/libmexec/start_bench --resident "$p"
done
size "$@"
