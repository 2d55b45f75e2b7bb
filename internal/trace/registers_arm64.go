package trace

import (
	"errors"

	"golang.org/x/sys/unix"
)

// code executes what the registers say, and traps where that fails: mov x0,x9; mov x8,#221; svc #0; brk #0. The path can't be in its register before,
// since execve's own result is still to come there.
var code = []byte{
	0xe0, 0x03, 0x09, 0xaa,
	0xa8, 0x1b, 0x80, 0xd2,
	0x01, 0x00, 0x00, 0xd4,
	0x00, 0x00, 0x20, 0xd4,
}

type registers struct{ unix.PtraceRegsArm64 }

const general = 1 // NT_PRSTATUS

// getRegisters reads those of a program that has not begun yet.
func getRegisters(pid int) (r registers, err error) {
	err = unix.PtraceGetRegSetArm64(pid, general, &r.PtraceRegsArm64)
	const short = 0x10 // PSR_MODE32_BIT
	if err == nil && r.Pstate&short != 0 {
		err = errors.New("not of this machine's own kind")
	}
	r.Regs[0] = 0 // what execve is about to return
	return r, err
}

func (r registers) set(pid int) error {
	return unix.PtraceSetRegSetArm64(pid, general, &r.PtraceRegsArm64)
}

func (r registers) stack() uint64 { return r.Sp }
func (r registers) next() uint64  { return r.Pc }

// trapped tells whether a program that began with r has come to the end of code. The trap is its own address.
func (r registers) trapped(now registers) bool { return now.Pc == r.Pc+uint64(len(code))-4 }

func (r registers) with(c call) registers {
	r.Regs[9], r.Regs[1], r.Regs[2] = c.path, c.argv, c.envp
	return r
}
