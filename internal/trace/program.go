package trace

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mexec/internal/jobserver"
	"mexec/internal/policy"
)

// program is what a process has executed and not begun yet.
type program struct {
	policy.Spawn
	begin registers
	stack stack
	first int  // the argument that is the program's own
	named bool // its argument 0 is not its path
}

func proc(pid int, name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }

// look reads what a process has executed. Where something is not as expected that is an error: such a program is left alone.
func look(pid int) (p program, err error) {
	if p.begin, err = getRegisters(pid); err != nil {
		return p, err
	}
	if p.stack, err = readStack(pid, p.begin.stack()); err != nil {
		return p, err
	}
	if p.Path, err = readString(pid, p.stack.path); err != nil {
		return p, err
	}
	here := func(path string) string {
		if strings.HasPrefix(path, "/") {
			return path
		}
		return proc(pid, "cwd/") + path
	}
	first, file, err := scriptArguments(p.Path, func(path string) ([]byte, error) { return readHead(here(path)) })
	if err != nil {
		return p, err
	}
	if p.first = first; first >= p.stack.args {
		return p, errors.New("a script without its name")
	}
	// The path may mean something else to the stub, as /proc/self/exe does, or the kernel have gone another way than by it (binfmt_misc).
	if !sameFile(proc(pid, "exe"), here(file)) {
		return p, fmt.Errorf("%s is not what runs", p.Path)
	}
	for i := first; i < p.stack.args; i++ {
		if i > first+2 && i < p.stack.args-1 {
			i = p.stack.args - 1 // nobody asks for those between: see package policy
		}
		arg, err := readString(pid, p.stack.arg(i))
		if err != nil {
			return p, err
		}
		p.Args = append(p.Args, arg)
	}
	p.named = p.Args[0] != p.Path
	if first > 0 && p.named {
		return p, fmt.Errorf("%s is not the script that runs", p.Path)
	}
	return p, nil
}

// escapes tells whether the shim can't see what a program starts.
func escapes(pid int, p program) bool {
	if p.stack.static {
		return true
	}
	f, err := elf.Open(proc(pid, "exe"))
	if err != nil {
		return false
	}
	defer f.Close()
	return IsGo(f)
}

// IsGo knows what Go has compiled. Linked dynamically or not, it makes its system calls itself.
func IsGo(f *elf.File) bool { return f.Section(".go.buildinfo") != nil }

func readHead(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, firstLine)
	n, err := unix.Pread(fd, b, 0)
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return b[:n], nil
}

func sameFile(a, b string) bool {
	var x, y unix.Stat_t
	return unix.Stat(a, &x) == nil && unix.Stat(b, &y) == nil && x.Ino == y.Ino && x.Dev == y.Dev
}

// parentOf finds the process that a new task comes from: the parent, or of a thread its own process.
func parentOf(pid int) int {
	text, err := os.ReadFile(proc(pid, "status"))
	if err != nil {
		return 0
	}
	field := func(name string) int {
		_, rest, _ := bytes.Cut(text, []byte("\n"+name+":\t"))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		n, _ := strconv.Atoi(string(line))
		return n
	}
	if tgid := field("Tgid"); tgid != pid {
		return tgid
	}
	return field("PPid")
}

// capturesOutput tells of a child of make whether it writes into a pipe of make's own: a $(shell) is the one that does.
func capturesOutput(pid, maker int) bool {
	var own, makes unix.Stat_t
	if unix.Stat(proc(pid, "fd/1"), &own) != nil || own.Mode&unix.S_IFMT != unix.S_IFIFO {
		return false
	}
	return unix.Stat(proc(maker, "fd/1"), &makes) != nil || makes.Ino != own.Ino || makes.Dev != own.Dev
}

// isRecursive tells whether make has left its jobserver's pipe open for a child, which it does for recursive lines only. Not known: there is no pipe.
func isRecursive(pid, maker int) (recursive, known bool) {
	f, err := os.Open(proc(pid, "environ"))
	if err != nil {
		return false, false
	}
	defer f.Close()
	env, err := io.ReadAll(f)
	if err != nil {
		return false, false
	}
	_, rest, found := bytes.Cut(append([]byte{0}, env...), []byte("\x00MAKEFLAGS="))
	flags, _, _ := bytes.Cut(rest, []byte{0})
	auth, ok := jobserver.Parse(string(flags))
	switch {
	case !found, auth.Fifo != "":
		return false, false
	case !ok:
		return false, auth.Read < 0 // make 4.4 disables it so for a line that is not recursive
	case !isOpen(maker, auth.Read):
		return false, false
	}
	return isOpen(pid, auth.Read), true
}

func isOpen(pid, fd int) bool {
	var st unix.Stat_t
	return unix.Lstat(proc(pid, "fd/"+strconv.Itoa(fd)), &st) == nil
}
