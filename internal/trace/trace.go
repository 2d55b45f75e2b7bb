// Package trace puts the stub in front of what a tool starts that the preload shim can't: a statically linked one, or a Go program, which makes its system
// calls itself. The kernel tells a tracer of each program that a process executes (ptrace(2)).
//
// Start starts a tool and follows it and its children, and Follow a driver below and its children, each until it has executed a program. At this moment execve has succeeded, so that what the kernel
// refuses is the tool's to handle, and the program has not begun: what is to travel by the policy is made to execute the stub with
// its arguments, and all others run on as they are. Then nobody traces the process any more, but where it is a driver of its own that the
// shim can't serve. What the tool executes in its own place is the tool.
//
// One goroutine on a thread of its own does all tracing of a tool, for the kernel takes orders from that thread only; its end, with the tool's, sets free whatever is
// still traced, and so does the death of this process: the tool and its children run on, untraced. Signals and stops reach the traced as they would
// otherwise. A traced process can't be traced by a debugger at the same time.
//
// Tests need no cluster: a stub may be any program.
package trace

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"mexec/internal/policy"
)

// Driver says what is to be done with what the tool starts.
type Driver struct {
	Rules policy.Policy
	Stub  string // its pathname
	Make  string // of a make, its name: it has rules of its own
}

// Tool is one that runs.
type Tool struct {
	ended  chan struct{}
	status syscall.WaitStatus
	usage  syscall.Rusage
	err    error
}

// Start starts the command and sets its Process, which is not to be waited for: Wait is. An error that is ErrNotAllowed has started nothing, and the command
// can still be started without us.
func Start(cmd *exec.Cmd, d Driver) (*Tool, error) {
	if code == nil {
		return nil, fmt.Errorf("%w on %s", ErrNotAllowed, runtime.GOARCH)
	}
	t := &Tool{ended: make(chan struct{})}
	started := make(chan error)
	go onOwnThread(func() {
		defer close(t.ended)
		pid, err := begin(cmd)
		started <- err
		if err == nil {
			t.err = newTracer(pid, d).run(t)
		}
	})
	if err := <-started; err != nil {
		return nil, err
	}
	return t, nil
}

// Follow traces a driver that the shim can't serve and that another process has started: pid is about to execute it. It goes on until the driver and all below it that is
// traced have ended, or this process. What is executed is judged as if a driver had started it; where it turns out to be none, or one that has the shim, it is let go.
//
// pid may be no child of ours: who waits for it would be told of the stops that are the tracer's.
func Follow(pid int, d Driver) error {
	if code == nil {
		return fmt.Errorf("%w on %s", ErrNotAllowed, runtime.GOARCH)
	}
	seized := make(chan error)
	go onOwnThread(func() {
		err := ptrace(unix.PTRACE_SEIZE, pid, 0, options)
		seized <- err
		if err == nil {
			t := newTracer(pid, d)
			t.tool, t.owner[pid] = 0, &driver{}
			t.run(&Tool{}) // until there is nobody left
		}
	})
	if err := <-seized; err != nil {
		return fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	return nil
}

// Wait waits for the end of the tool itself; what it leaves running goes on.
func (t *Tool) Wait() (syscall.WaitStatus, error) {
	<-t.ended
	return t.status, t.err
}

// Usage is what wait4 said of the tool, once Wait has returned.
func (t *Tool) Usage() *syscall.Rusage { return &t.usage }

// ErrNotAllowed: nothing may be traced here.
var ErrNotAllowed = errors.New("tracing is not possible")

// onOwnThread runs do on a thread that ends with it. Go does not let a program's first thread end, so that one is only kept busy meanwhile.
func onOwnThread(do func()) {
	runtime.LockOSThread()
	if unix.Gettid() != os.Getpid() {
		do()
		return // with the lock: the thread goes, too
	}
	defer runtime.UnlockOSThread()
	done := make(chan struct{})
	go func() {
		defer close(done)
		onOwnThread(do)
	}()
	<-done
}

const options = unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC

// begin starts the command, traced and before its first instruction.
//
// Go can start a child only in the old way (PTRACE_TRACEME), whose tracees can't be stopped and continued by others, as Ctrl-Z and fg do. So it is stopped, let go, and
// seized (PTRACE_SEIZE) while it is stopped.
func begin(cmd *exec.Cmd) (pid int, err error) {
	c := &exec.Cmd{Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir, Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Ptrace: true}}
	if err := c.Start(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	pid = c.Process.Pid
	defer func() {
		if err != nil { // nothing of it has run
			c.Process.Kill()
			c.Wait()
			err = fmt.Errorf("%w: %w", ErrNotAllowed, err)
		}
	}()
	if err := stopped(pid); err != nil {
		return 0, err
	}
	if err := ptrace(unix.PTRACE_DETACH, pid, 0, uintptr(unix.SIGSTOP)); err != nil {
		return 0, os.NewSyscallError("ptrace", err)
	}
	if err := stopped(pid); err != nil {
		return 0, err
	}
	if err := ptrace(unix.PTRACE_SEIZE, pid, 0, options); err != nil {
		return 0, os.NewSyscallError("ptrace", err)
	}
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		return 0, os.NewSyscallError("kill", err)
	}
	cmd.Process = c.Process
	return pid, nil
}

// stopped waits until a child is.
func stopped(pid int) error {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, unix.WALL|unix.WUNTRACED, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return os.NewSyscallError("wait4", err)
		case !status.Stopped():
			return errors.New("it has ended before it began")
		}
		return nil
	}
}

func ptrace(request, pid int, address, data uintptr) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), address, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
