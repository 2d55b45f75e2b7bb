package drive

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
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
	b.escapes, b.below.rules = escapes, rules
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
	note := fmt.Sprintf("%s %s: what it starts stays on this node", path, why)
	b.notes = append(b.notes, note)
	fmt.Fprintf(b.stderr, "%s: %s\n", b.name, note)
}

// start starts the tool, traced where it must be, and says how to wait for it. Where nothing may be traced the tool runs all the same.
func (b *build) start(cmd *exec.Cmd) (wait func() (*ending, error), err error) {
	b.below.mu.Lock()
	defer b.below.mu.Unlock()
	defer func() {
		if err == nil {
			b.below.tool = cmd.Process.Pid
		}
	}()
	var refused error
	if b.traced != nil {
		d := *b.traced
		d.Stub = stubPath()
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

func stubPath() string { return daemon.Beside("mexec") }

// mostSaid bounds what a build says of its drivers.
const mostSaid = 4

// below is for the drivers below the tool that the shim can't be loaded into, though it is in what starts them. They ask for being traced.
type below struct {
	rules policy.Policy

	mu    sync.Mutex // of what follows; held while the tool is started
	tool  int
	stays []string // of which drivers nothing travels, and why
}

// trace begins to trace a driver, or says why not, to it and when the build is over. The path is as pid would execute it.
func (b *below) trace(pid int, path string) error {
	at := path
	if !filepath.IsAbs(at) {
		at = "/proc/" + strconv.Itoa(pid) + "/cwd/" + at // as it is: of ../x in it Join would make something else
	}
	why := escape(at)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case why == "":
		return nil // it is as the shim's word for it says
	case why != isStatic && why != isGo:
	case pid == b.tool: // trace.Follow can't
		why += " and took the place of the tool that was named (name it itself)"
	default:
		err := trace.Follow(pid, trace.Driver{Rules: b.rules, Stub: stubPath()})
		if err == nil {
			return nil
		}
		why += fmt.Sprintf(", and %v", err)
	}
	if line := fmt.Sprintf("%s %s: what it started stayed on this node", path, why); len(b.stays) < mostSaid && !slices.Contains(b.stays, line) {
		b.stays = append(b.stays, line)
	}
	return errors.New(why)
}

// said is what is to be said of them when the build is over, a line for each.
func (b *below) said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.stays)
}
