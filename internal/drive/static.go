package drive

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"

	"mexec/internal/daemon"
	"mexec/internal/policy"
	"mexec/internal/trace"
)

// isStatic is what escape says of a program that can be traced instead.
const isStatic = "is statically linked"

// follow prepares for a tool that the shim can't be loaded into. maker is mpmake's make by its name, whatever that is.
func (b *build) follow(path, escapes string, rules policy.Policy, maker string) {
	if escapes == isStatic {
		if maker == "" && policy.IsMake(filepath.Base(path)) {
			maker = filepath.Base(path)
		}
		b.static = &trace.Driver{Rules: rules, Make: maker}
	} else if escapes != "" {
		b.stays(path, escapes)
	}
}

func (b *build) stays(path, why string) {
	fmt.Fprintf(b.stderr, "%s: %s %s: what it starts stays on this node\n", b.name, path, why)
}

// start starts the tool, traced where it must be, and says how to wait for it. Where nothing may be traced the tool runs all the same.
func (b *build) start(cmd *exec.Cmd) (wait func() (syscall.WaitStatus, error), err error) {
	var refused error
	if b.static != nil {
		d := *b.static
		d.Stub = daemon.Beside("mexec")
		tool, err := trace.Start(cmd, d)
		if err == nil {
			return tool.Wait, nil
		}
		refused = err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if refused != nil {
		b.stays(cmd.Path, fmt.Sprintf("%s, and %v", isStatic, refused))
	}
	return func() (syscall.WaitStatus, error) {
		err := cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return 0, err
		}
		return cmd.ProcessState.Sys().(syscall.WaitStatus), nil
	}, nil
}
