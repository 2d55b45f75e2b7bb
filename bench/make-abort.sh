#!/bin/sh
# How often the stock make dies of its own signal handler, which allocates memory whatever it interrupts: N interrupts at random moments of a build of 400
# short recipes at -j16. `bench/make-abort.sh [N]`; docs/interrupts.md has the figures of one run.
set -eu
n=${1:-1000}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >Makefile <<'END'
all: $(addprefix t,$(shell seq 400))
t%: ; @: >$@
END
i=0 late=0 aborted=0
while [ "$i" -lt "$n" ]; do
	rm -f t*
	ms=$(od -An -N2 -tu2 /dev/urandom)
	status=0
	# Its own group, as a terminal would have it, and the signal to all of it.
	timeout -s INT "0.$(printf %03d $((ms % 400 + 5)))" make -s -j16 >out 2>&1 || status=$?
	if grep -q 'malloc\|free()\|glibc\|corrupt' out; then
		aborted=$((aborted + 1))
	elif [ "$status" = 0 ]; then
		late=$((late + 1))
	fi
	i=$((i + 1))
done
echo "$n interrupts: $aborted ended in make's allocator, $late came too late"
