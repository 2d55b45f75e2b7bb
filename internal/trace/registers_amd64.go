package trace

import (
	"errors"

	"golang.org/x/sys/unix"
)

// code executes what the registers say, and traps where that fails: mov $59,%eax; syscall; int3. The number can't be in its register before, since
// execve's own result is still to come there.
var code = []byte{0xb8, unix.SYS_EXECVE, 0, 0, 0, 0x0f, 0x05, 0xcc}

type registers struct{ unix.PtraceRegs }

// getRegisters reads those of a program that has not begun yet.
func getRegisters(pid int) (r registers, err error) {
	err = unix.PtraceGetRegs(pid, &r.PtraceRegs)
	const long = 0x33 // __USER_CS: a program of 64 bits
	if err == nil && r.Cs != long {
		err = errors.New("not of this machine's own kind")
	}
	r.Rax = 0 // what execve is about to return
	return r, err
}

func (r registers) set(pid int) error { return unix.PtraceSetRegs(pid, &r.PtraceRegs) }

func (r registers) stack() uint64 { return r.Rsp }
func (r registers) next() uint64  { return r.Rip }

// trapped tells whether a program that began with r has come to the end of code.
func (r registers) trapped(now registers) bool { return now.Rip == r.Rip+uint64(len(code)) }

func (r registers) with(c call) registers {
	r.Rdi, r.Rsi, r.Rdx = c.path, c.argv, c.envp
	return r
}
