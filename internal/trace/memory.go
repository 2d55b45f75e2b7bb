package trace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	page         = 4096
	longestStack = 16 << 20 // more than the addresses of 6 MiB of arguments can take
	longestArg   = 128 << 10
)

// read fills b from a process's memory, as far as there is any.
func read(pid int, at uint64, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	return unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(b)}}, 0)
}

// write goes word by word: process_vm_writev lets no stack grow since Linux 6.5, and that of a program with very many arguments ends where these
// begin. What is written below them may be on a page that is not there yet.
func write(pid int, p piece) error {
	n, err := unix.PtracePokeData(pid, uintptr(p.at), p.bytes)
	if err == nil && n != len(p.bytes) {
		err = io.ErrShortWrite
	}
	return os.NewSyscallError("ptrace", err)
}

// readStack reads the stack of a program that has not begun yet.
func readStack(pid int, pointer uint64) (stack, error) {
	for size := 2 * page; ; size *= 8 {
		b := make([]byte, size)
		n, err := read(pid, pointer, b)
		if err != nil {
			return stack{}, os.NewSyscallError("process_vm_readv", err)
		}
		s, err := parseStack(pointer, b[:n])
		if !errors.Is(err, errPart) || n < size || size > longestStack {
			return s, err
		}
	}
}

// readString reads up to a NUL. A read that goes over pages ends before one that is not there, so each piece ends with its page.
func readString(pid int, at uint64) (string, error) {
	var s []byte
	for len(s) < longestArg {
		b := make([]byte, page-at%page)
		n, err := read(pid, at, b)
		if err != nil {
			return "", os.NewSyscallError("process_vm_readv", err)
		}
		if i := bytes.IndexByte(b[:n], 0); i >= 0 {
			return string(append(s, b[:i]...)), nil
		}
		s = append(s, b[:n]...)
		at += uint64(n)
	}
	return "", fmt.Errorf("string of process %d: longer than an argument may be", pid)
}
