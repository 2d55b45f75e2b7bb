package relay

import (
	"os"

	"golang.org/x/sys/unix"
)

// Page is how much of a caller's pipe may be on its way to a job beyond what the job has read.
const Page = 4096

// FileWindow is the same for a regular file, whose position is put back.
const FileWindow = 64 << 10

// Feed is the writing end of a job's stdin on the worker.
type Feed struct {
	w      *os.File
	window int
}

// NewFeed makes the pipe: the job gets r, which its maker closes after the start. For a window of one page the pipe is one page.
func NewFeed(window int) (f *Feed, r *os.File, err error) {
	size := 0
	if window == Page {
		size = Page
	}
	r, w, err := pipe(1, size)
	if err != nil {
		return nil, nil, err
	}
	return &Feed{w, window}, r, nil
}

// Window is how much may be fed before the job has read it all.
func (f *Feed) Window() int { return f.window }

// Write feeds b and returns when the job has read it: the whole window is open again.
func (f *Feed) Write(b []byte) error {
	if _, err := f.w.Write(b); err != nil {
		return err
	}
	raw, err := f.w.SyscallConn()
	if err != nil {
		return err
	}
	// A pipe becomes writable again when a slot of it is empty, so that waiting for room wakes us as it is read.
	var left int
	err = raw.Write(func(fd uintptr) bool {
		left, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		return left == 0 || f.window > Page
	})
	return err
}

// Left is how much was fed and never read.
func (f *Feed) Left() int {
	raw, err := f.w.SyscallConn()
	left := 0
	if err == nil {
		raw.Control(func(fd uintptr) { left, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	}
	return left
}

// Close is end of file to the job.
func (f *Feed) Close() error { return f.w.Close() }

// NewDrain makes the pipe of a job's output: the job gets w, which its maker closes after the start.
func NewDrain() (r, w *os.File, err error) { return pipe(0, 0) }

// pipe makes a pipe, of a given size if that is not 0, whose end `ours` (0 reads, 1 writes) waits in the poller, while the job's end is as a shell would make it.
// os.Pipe was refused: it makes both ends non-blocking and the job's blocking again, three system calls for nothing.
func pipe(ours, size int) (r, w *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	err = unix.SetNonblock(p[ours], true)
	if err == nil && size != 0 {
		_, err = unix.FcntlInt(uintptr(p[ours]), unix.F_SETPIPE_SZ, size)
	}
	if err != nil {
		unix.Close(p[0])
		unix.Close(p[1])
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(p[0]), "|0"), os.NewFile(uintptr(p[1]), "|1"), nil
}
