#!/bin/sh
# The same as sshshell.c in the way that people write it: a script. A lock is a file that only one can make, which needs no program; what the environment holds, the
# line among it, the shell quotes itself. (true and not a colon: a shell exits where a special built-in cannot be redirected.)
case " $*" in *[\ /\;\(]make\ * | *[\ /\;\(]make) stays=y ;; esac
if [ "$stays" = y ] || [ "${MAKELEVEL:-0}" = "${SSHSHELL_LEVEL:-0}" ]; then
	SSHSHELL_LEVEL=${MAKELEVEL:-0} exec /bin/sh "$@"
fi
set -C
while :; do
	s=0
	while [ $s -lt "$SSHSHELL_SLOTS" ]; do
		for host in $SSHSHELL_HOSTS; do
			lock=$SSHSHELL_DIR/script.$host.$s
			if { true >"$lock"; } 2>/dev/null; then break 3; fi
		done
		s=$((s + 1))
	done
	sleep 0.02
done
if [ "$host" = "${SSHSHELL_HOSTS%% *}" ]; then
	/bin/sh "$@"
else
	export SSHSHELL_FLAGS="$1" SSHSHELL_LINE="$2"
	ssh -n -T -F "$SSHSHELL_CONFIG" "$host" "cd '$PWD' && $(export -p) && exec /bin/sh \"\$SSHSHELL_FLAGS\" \"\$SSHSHELL_LINE\""
fi
status=$?
rm -f "$lock"
exit $status
