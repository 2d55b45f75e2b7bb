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

// What escape says of a program that can be traced instead.
const (
	isStatic = "is statically linked"
	isGo     = "is a Go program, which asks no library"
)

// ending is how the tool ended.
type ending struct {
	pid    int
	status syscall.WaitStatus
	usage  syscall.Rusage // its own and that of what it waited for
}

// follow prepares for a tool whose children the shim can't see. maker is mpmake's make by its name, whatever that is.
func (b *build) follow(path, escapes string, rules policy.Policy, maker string) {
	b.escapes = escapes
	if escapes == isStatic || escapes == isGo {
		if maker == "" && policy.IsMake(filepath.Base(path)) {
			maker = filepath.Base(path)
		}
		b.traced = &trace.Driver{Rules: rules, Make: maker}
	} else if escapes != "" {
		b.stays(path, escapes)
	}
}

func (b *build) stays(path, why string) {
	b.note = fmt.Sprintf("%s %s: what it starts stays on this node", path, why)
	fmt.Fprintf(b.stderr, "%s: %s\n", b.name, b.note)
}

// start starts the tool, traced where it must be, and says how to wait for it. Where nothing may be traced the tool runs all the same.
func (b *build) start(cmd *exec.Cmd) (wait func() (*ending, error), err error) {
	var refused error
	if b.traced != nil {
		d := *b.traced
		d.Stub = daemon.Beside("mexec")
		tool, err := trace.Start(cmd, d)
		if err == nil {
			return func() (*ending, error) {
				status, err := tool.Wait()
				return &ending{cmd.Process.Pid, status, *tool.Usage()}, err
			}, nil
		}
		refused = err
	}
	shelled := refused != nil && b.traced.Make != "" && b.throughShell(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	switch {
	case shelled:
		fmt.Fprintf(b.stderr, "%s: %s %s, and %v: its recipes travel by a SHELL of ours\n", b.name, cmd.Path, b.escapes, refused)
	case refused != nil:
		b.stays(cmd.Path, fmt.Sprintf("%s, and %v", b.escapes, refused))
	}
	return func() (*ending, error) {
		err := cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return nil, err
		}
		state := cmd.ProcessState
		return &ending{state.Pid(), state.Sys().(syscall.WaitStatus), *state.SysUsage().(*syscall.Rusage)}, nil
	}, nil
}
