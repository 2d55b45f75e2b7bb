#!/bin/sh
# What mpmake costs where there is nothing to gain: recipes of about a millisecond on one node without a daemon, by plain make and by mpmake, whose first build
# knows nothing yet. `bench/short.sh [RECIPES [ROUNDS]]`; docs/short-commands.md has the figures of one run. The contestants take turns; a median of ROUNDS each.
set -eu
n=${1:-2000} rounds=${2:-5}
bin=$(cd "$(dirname "$0")/../bin" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
unset NODES ENVSETTER MAKEFLAGS MAKELEVEL MFLAGS MEXEC_DRIVER MEXEC_JOURNAL MEXEC_SHORT
export MEXEC_SOCKET=/nonexistent

cat >Makefile <<END
N := \$(shell seq $n)
direct: \$(addprefix d,\$(N))
shell: \$(addprefix s,\$(N))
d%: ; @/bin/true
s%: ; @: >x\$*
END

# once CONTESTANT PROGRAM TARGET adds a line of milliseconds to a file.
once() {
	rm -rf x*
	[ "$1" != first ] || rm -rf cache/mexec/kinds
	from=$(date +%s%N)
	XDG_CACHE_HOME=$dir/cache "$2" -s -j2 "$3" 2>/dev/null
	echo $((($(date +%s%N) - from) / 1000000)) >>"$3.$1"
}

for target in direct shell; do
	for round in $(seq "$rounds"); do
		once make make $target
		once first "$bin/mpmake" $target
		once second "$bin/mpmake" $target
		MEXEC_SHORT=0 once none "$bin/mpmake" $target
	done
done

median() { sort -n "$1" | sed -n "$((rounds / 2 + 1))p"; }
echo "| $n recipes | make -j2 | mpmake -j2, first build | second build | without the limit |"
echo "|---|---:|---:|---:|---:|"
for target in direct shell; do
	plain=$(median $target.make)
	printf '| %s | %d ms |' "$(sed -n "s,^${target%${target#?}}%: ; @,,p" Makefile)" "$plain"
	for contestant in first second none; do
		ms=$(median $target.$contestant)
		printf ' %d ms, %s |' "$ms" "$(echo "$ms $plain" | awk '{printf "%.2f", $1 / $2}')"
	done
	echo
done
