package trace

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// front makes a process execute the stub instead of the program that it was about to begin. All that is written is the process's own: execve has just
// made its memory, and the next one throws it away. If that one fails, it traps and is undone.
func (t *tracer) front(pid int, p program) error {
	c, now, before := p.stack.front(t.stub, p.first, p.named)
	text := piece{p.begin.next(), make([]byte, len(code))}
	if n, err := read(pid, text.at, text.bytes); err != nil || n != len(code) {
		return unix.EFAULT
	}
	f := fronting{p.begin, before, text}
	for _, piece := range now {
		if err := write(pid, piece); err != nil {
			f.undo(pid)
			return err
		}
	}
	if err := execute(pid, p.begin, c); err != nil {
		f.undo(pid)
		return err
	}
	t.fronted[pid] = f
	resume(pid, 0)
	return nil
}

// execute makes a process call execve next.
func execute(pid int, begin registers, c call) error {
	if _, err := unix.PtracePokeText(pid, uintptr(begin.next()), code); err != nil {
		return os.NewSyscallError("ptrace", err)
	}
	return begin.with(c).set(pid)
}

func (f fronting) undo(pid int) error {
	if err := write(pid, f.stack); err != nil {
		return err
	}
	if _, err := unix.PtracePokeText(pid, uintptr(f.text.at), f.text.bytes); err != nil {
		return err
	}
	return f.begin.set(pid)
}

// undone is for a process that has trapped: if it could not execute the stub, it begins its own program.
func (t *tracer) undone(pid int, f fronting) bool {
	now, err := getRegisters(pid)
	if err != nil || !f.begin.trapped(now) {
		return false // somebody's signal
	}
	delete(t.fronted, pid)
	return f.undo(pid) == nil
}

// leave lets a process go with the program that it has executed. One that should have got privileges by it has not if its tracer has none: it executes the
// program once more, untraced.
func (t *tracer) leave(pid int, p program) {
	if t.lossy && p.first == 0 && p.Path != "" && !strings.HasPrefix(p.Path, "/dev/fd/") && privileged(p.Path) {
		execute(pid, p.begin, call{path: p.stack.path, argv: p.stack.slot(0), envp: p.stack.environ()})
	}
	t.release(pid)
}

// privileged tells whether a file gives rights to who executes it.
func privileged(path string) bool {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return false
	}
	_, err := unix.Getxattr(path, "security.capability", nil)
	return st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 || err == nil
}

// mayTraceAll tells whether a process that we trace keeps the privilege of a set-user-ID program.
func mayTraceAll() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_PTRACE) != 0
}
