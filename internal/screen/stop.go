package screen

import (
	"os"
	"os/signal"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stop does what SIGTSTP does to a process that does not catch it, and returns when we continue.
//
// signal.Reset does not give that back: Go's own handler stays in the kernel's table, and does nothing. SIGSTOP would also stop us where the kernel
// lets SIGTSTP pass, in a group that no shell watches, and nobody would ever continue us. So the table's entry is put aside for the
// moment, whatever an architecture has in it.
func stop() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	var none, ours [16]uint64 // none: SIG_DFL
	if action(&none, &ours) != 0 {
		return
	}
	defer action(&ours, nil)
	syscall.Kill(os.Getpid(), syscall.SIGTSTP)
	select {
	case <-continued:
	case <-time.After(often): // not stopped; a process that is does not come by here before it continues
	}
}

func action(set, old *[16]uint64) syscall.Errno {
	const maskLen = 8 // of the kernel's, except on MIPS, where it is an error
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(syscall.SIGTSTP), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), maskLen, 0, 0)
	return errno
}
