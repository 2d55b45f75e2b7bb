package trace

import (
	"cmp"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"mexec/internal/policy"
)

// driver is a process whose children are judged. Or, with no pid, one that was only let stay since it is going to start a driver: of its children
// nothing travels, and only drivers are looked for among them.
type driver struct {
	pid  int
	make string // its name if it is one
}

// tracer is all that the tracing thread knows.
type tracer struct {
	rules   policy.Policy
	stub    string
	tool    int
	owner   map[int]*driver  // by each traced thread, whose program it runs
	early   map[int]bool     // those that have stopped before their parent's word of them was heard
	fronted map[int]fronting // those that are about to execute the stub
	lossy   bool             // what is traced loses the privilege of a set-user-ID program
}

// fronting is how to go on as if nothing had been done.
type fronting struct {
	begin registers
	stack piece
	text  piece
}

func newTracer(pid int, d Driver) *tracer {
	return &tracer{
		rules: d.Rules, stub: d.Stub, tool: pid, lossy: !mayTraceAll(),
		owner: map[int]*driver{pid: {pid: pid, make: d.Make}}, early: map[int]bool{}, fronted: map[int]fronting{},
	}
}

// run hears of all that happens until the tool ends, or with no tool until nobody is traced. This thread may have been another goroutine's before and have children that
// somebody waits for: those are told from the traced by __WCLONE, which leaves out children that are neither clones nor traced. A tool may have been let go, and is one.
func (t *tracer) run(tool *Tool) error {
	which := unix.WALL
	if t.tool == 0 {
		which = unix.WCLONE
	}
	for {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		pid, err := syscall.Wait4(-1, &status, which|unix.WNOTHREAD, &usage)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return os.NewSyscallError("wait4", err)
		case status.Stopped():
			t.stopped(pid, status)
			continue
		}
		delete(t.owner, pid)
		delete(t.fronted, pid)
		if pid == t.tool {
			tool.status, tool.usage = status, usage
			return nil
		}
	}
}

// An order to a process that was killed meanwhile fails, and its end is heard of next: so nobody looks at the errors of these.
func resume(pid int, s unix.Signal) { ptrace(unix.PTRACE_CONT, pid, 0, uintptr(s)) }
func listen(pid int)                { ptrace(unix.PTRACE_LISTEN, pid, 0, 0) }

// release lets a process go, for ever.
func (t *tracer) release(pid int) {
	delete(t.owner, pid)
	ptrace(unix.PTRACE_DETACH, pid, 0, 0)
}

func (t *tracer) stopped(pid int, status syscall.WaitStatus) {
	signal := status.StopSignal()
	switch int(status >> 16) {
	case unix.PTRACE_EVENT_FORK, unix.PTRACE_EVENT_VFORK, unix.PTRACE_EVENT_CLONE:
		if child, err := unix.PtraceGetEventMsg(pid); err == nil && !t.early[int(child)] {
			t.owner[int(child)] = t.owner[pid]
		} else {
			delete(t.early, int(child)) // it may have executed something since, and be a driver or let go
		}
		resume(pid, 0)
	case unix.PTRACE_EVENT_EXEC:
		t.executed(pid)
	case unix.PTRACE_EVENT_STOP:
		t.paused(pid, signal)
	default:
		if f, ok := t.fronted[pid]; ok && signal == unix.SIGTRAP && t.undone(pid, f) {
			signal = 0
		}
		resume(pid, signal)
	}
}

// paused is for a process that stops as any process does, or one that is new, or goes on after a stop.
func (t *tracer) paused(pid int, signal unix.Signal) {
	if signal != unix.SIGTRAP {
		listen(pid) // to the SIGCONT that ends it
		return
	}
	if _, ok := t.owner[pid]; !ok { // new, and its parent's stop has not been heard of, or never will be: it was killed
		parent, ok := t.owner[parentOf(pid)]
		if !ok {
			t.release(pid)
			return
		}
		t.owner[pid], t.early[pid] = parent, true
	}
	resume(pid, 0)
}

// executed is for a process that has got a program by execve, and has not begun it.
func (t *tracer) executed(pid int) {
	d := t.owner[pid]
	if former, err := unix.PtraceGetEventMsg(pid); err == nil && int(former) != pid { // a thread has, and all others are no more
		d = t.owner[int(former)]
		delete(t.owner, int(former))
	}
	_, fronted := t.fronted[pid]
	delete(t.fronted, pid)
	if d == nil || fronted {
		t.release(pid)
		return
	}
	p, err := look(pid)
	if pid == d.pid { // it is the driver, whatever it is now
		if p.stack.secure || !escapes(pid, p) {
			t.leave(pid, p) // the shim sees to it
			return
		}
		t.owner[pid] = &driver{pid: pid, make: cmp.Or(makeName(pid), d.make)}
		resume(pid, 0)
		return
	}
	if err != nil || p.stack.secure {
		t.leave(pid, p)
		return
	}
	switch v := t.judge(pid, d, p); {
	case v == policy.Travels && d.pid != 0:
		if t.front(pid, p) != nil {
			t.release(pid)
		}
	case v == policy.Drives && !t.rules.IsDriver(p.Spawn): // a shell, or the tool's like
		t.owner[pid] = &driver{}
		resume(pid, 0)
	case v == policy.Drives && escapes(pid, p):
		t.owner[pid] = &driver{pid: pid, make: makeName(pid)}
		resume(pid, 0)
	default: // it stays, or has the shim
		t.leave(pid, p)
	}
}

// judge is route of libmexec/route.c.
func (t *tracer) judge(pid int, d *driver, p program) policy.Verdict {
	v := t.rules.Judge(p.Spawn)
	if d.make != "" && capturesOutput(pid, d.pid) {
		return policy.Stays
	}
	if v != policy.Travels {
		return v
	}
	if d.make != "" {
		if recursive, known := isRecursive(pid, d.pid); known {
			if recursive || t.rules.Leads(d.make, p.Spawn, false) {
				return policy.Drives
			}
			return v
		}
	}
	if t.rules.Leads(d.make, p.Spawn, true) {
		return policy.Drives
	}
	return v
}

// makeName is the name of the program of a process, if that is a make's.
func makeName(pid int) string {
	exe, err := os.Readlink(proc(pid, "exe"))
	if name := filepath.Base(exe); err == nil && policy.IsMake(name) {
		return name
	}
	return ""
}
