// Package relay moves bytes between a job and the descriptors of its caller.
//
// At home, a Sink writes to a descriptor of the caller and a Source reads from one. The descriptor stays the caller's: no flag of it is
// ever set, since O_NONBLOCK belongs to the open file, which the caller and its other children share, and a program that finds it
// set fails. A pipe or terminal is opened anew through /proc/self/fd instead, which gives an open file of our own that may be
// non-blocking and can wait in the runtime's poller; what can't be opened anew is polled before each piece.
//
// On the worker, Feed fills a job's stdin no further than it is told to, and Drain reads its output.
//
// Where the caller has a terminal the job has one too: Terminal is the one at home, Pty its mirror on the worker. Nothing is read at home
// before the job is seen to wait for it, and only while the caller is in the foreground.
//
// Back-pressure is whole: a Sink that blocks blocks its caller, which is the goroutine that receives the job's stream, so that gRPC's
// window fills, the worker's Drain stops and the job's pipe is full, as it would be on one machine. None of it holds a thread
// while it waits, but for sockets and pipes that can't be opened anew.
package relay

import (
	"context"
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"mexec/internal/wire/mexecpb"
)

// Kind says what a descriptor of the caller is to the job.
func Kind(fd int) mexecpb.Stdio {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return mexecpb.Stdio_STDIO_CLOSED
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFDIR:
		return mexecpb.Stdio_STDIO_FILE
	case unix.S_IFCHR:
		if st.Rdev == unix.Mkdev(1, 3) {
			return mexecpb.Stdio_STDIO_NULL
		}
		if terminal(fd) {
			return mexecpb.Stdio_STDIO_TERMINAL
		}
	}
	return mexecpb.Stdio_STDIO_STREAM
}

// Access is how a descriptor was opened: O_RDONLY, O_WRONLY or O_RDWR.
func Access(fd int) int {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return unix.O_RDWR
	}
	return flags & unix.O_ACCMODE
}

// Merged says whether two descriptors are one open file, or two of one pipe or terminal: then what is written to both must keep
// its order.
func Merged(a, b int) bool {
	var sa, sb unix.Stat_t
	if unix.Fstat(a, &sa) != nil || unix.Fstat(b, &sb) != nil || sa.Dev != sb.Dev || sa.Ino != sb.Ino {
		return false
	}
	if sa.Mode&unix.S_IFMT != unix.S_IFREG {
		return true
	}
	const kcmpFile = 0
	pid := uintptr(os.Getpid())
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, pid, pid, kcmpFile, uintptr(a), uintptr(b), 0)
	return errno == 0 && order == 0
}

// anew opens the file of fd again as an open file of our own, if its kind allows that. It must not open more than the caller has: the
// daemon may be root, to which a pipe that a user can only read is as good as writable.
func anew(fd, flags int) *os.File {
	have, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || have&unix.O_PATH != 0 || have&unix.O_ACCMODE != flags && have&unix.O_ACCMODE != unix.O_RDWR {
		return nil
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return nil
	}
	if t := st.Mode & unix.S_IFMT; t != unix.S_IFIFO && (t != unix.S_IFCHR || !terminal(fd)) {
		return nil
	}
	name := "/proc/self/fd/" + strconv.Itoa(fd)
	own, err := unix.Open(name, flags|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(own), name)
}

func terminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// await waits until fd is ready or ctx ends. It holds a thread.
func await(ctx context.Context, fd int, events int16) error {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	defer unix.Close(wake)
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		close(woken)
	})
	defer func() {
		if !stop() {
			<-woken
		}
	}()
	for {
		set := []unix.PollFd{{Fd: int32(fd), Events: events}, {Fd: int32(wake), Events: unix.POLLIN}}
		_, err := unix.Poll(set, -1)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case set[0].Revents != 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return os.NewSyscallError("poll", err)
		}
	}
}
