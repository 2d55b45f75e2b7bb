package drive

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"mexec/internal/daemon"
)

// wrapper is a shell for make that hands each line to the stub. Lines that may start a nested make stay, and so does a $(shell), which is the one child that
// writes into a pipe that is not make's own output.
const wrapper = `#!/bin/sh
case $2 in
*make*) exec /bin/sh "$@" ;;
esac
if [ -p /proc/$$/fd/1 ] && ! [ /proc/$$/fd/1 -ef /proc/$PPID/fd/1 ]; then exec /bin/sh "$@"; fi
exec '%s' -p -- /bin/sh "$@"
`

// throughShell is for a make that can neither have the shim nor be traced: it gets a SHELL that hands its lines on, as if its makefiles began with
// this. So one that sets SHELL is obeyed, which SHELL= on the command line would not allow, and its recipes stay here. What it costs: make executes no
// program itself any more, and says what a shell says of one that is not there. Nested makes find it in MAKEFLAGS. False: it can't be done.
func (b *build) throughShell(cmd *exec.Cmd) bool {
	path := filepath.Join(filepath.Dir(b.alone), "sh")
	stub := daemon.Beside("mexec")
	if b.alone == "" || strings.ContainsAny(path, " \t#$%\\:=") || strings.Contains(stub, "'") {
		return false
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, wrapper, stub), 0o755); err != nil {
		return false
	}
	cmd.Args = slices.Insert(cmd.Args, 1, "--eval=SHELL := "+path)
	return true
}
