package relay

import (
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Page is how much of a caller's pipe may be on its way to a job beyond what the job has read.
const Page = 4096

// FileWindow is the same for a regular file, whose position is put back.
const FileWindow = 64 << 10

// Feed is a job's stdin on the worker. It keeps the reading end open too, to know at the end how much of it was never read.
type Feed struct {
	r, w   *os.File
	window int
	fed    atomic.Int64
}

// NewFeed makes the pipe; the job gets r, which stays the feed's. For a window of one page the pipe is one page.
func NewFeed(window int) (f *Feed, r *os.File, err error) {
	size := 0
	if window == Page {
		size = Page
	}
	r, w, err := pipe(1, size)
	if err != nil {
		return nil, nil, err
	}
	return &Feed{r: r, w: w, window: window}, r, nil
}

// Window is how much may be fed before the job has read anything.
func (f *Feed) Window() int { return f.window }

// Write feeds b and returns when more may follow: where the window is one page, when the job has read it all.
func (f *Feed) Write(b []byte) error {
	n, err := f.w.Write(b)
	f.fed.Add(int64(n))
	if err != nil || f.window > Page {
		return err
	}
	raw, err := f.w.SyscallConn()
	if err != nil {
		return err
	}
	// A pipe becomes writable when a page of it has been read, so that waiting for room wakes us at the right time.
	return raw.Write(func(fd uintptr) bool { return unread(int(fd)) == 0 })
}

// Finish is end of file to the job, once it has read what was fed.
func (f *Feed) Finish() { f.w.Close() }

// Taken is how much the job has read.
func (f *Feed) Taken() int64 { return f.fed.Load() - int64(unread(int(f.r.Fd()))) }

// Close ends a Write under way.
func (f *Feed) Close() {
	f.w.Close()
	f.r.Close()
}

func unread(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

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
