package relay

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Stream is the worker's end of a descriptor above 2 that is relayed: of a pipe that the job reads, of one that it writes, or of a socket.
//
// Feed and Read are for one goroutine each, the rest for any.
type Stream struct {
	own    *os.File
	socket bool
}

// NewStream makes a stream and the job's end of it. The job's end is to be closed when the job has it: only then do the two see
// each other's end.
func NewStream(read, write bool) (s *Stream, job *os.File, err error) {
	switch {
	case read && write:
		return newSocket()
	case read:
		r, w, err := pipe(1, Page)
		return &Stream{own: w}, r, err
	default:
		r, w, err := pipe(0, 0)
		return &Stream{own: r}, w, err
	}
}

func newSocket() (*Stream, *os.File, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(p[0], true); err != nil {
		unix.Close(p[0])
		unix.Close(p[1])
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return &Stream{own: os.NewFile(uintptr(p[0]), "socket"), socket: true}, os.NewFile(uintptr(p[1]), "socket"), nil
}

// Feed gives the job b and returns when it has read it all. An error is that of a job that has closed its end before.
func (s *Stream) Feed(b []byte) error {
	if _, err := s.own.Write(b); err != nil {
		return err
	}
	raw, err := s.own.SyscallConn()
	if err != nil {
		return err
	}
	// Both kinds wake a writer when something was read, also one that had room before.
	question := uint(unix.TIOCINQ)
	if s.socket {
		question = unix.TIOCOUTQ
	}
	var rest int
	werr := raw.Write(func(fd uintptr) bool {
		rest, err = unix.IoctlGetInt(int(fd), question)
		return err != nil || rest == 0 || hungUp(int(fd))
	})
	if werr == nil && rest > 0 {
		return unix.EPIPE
	}
	return errors.Join(werr, err)
}

// Finish is end of file to the job, once it has read what was fed.
func (s *Stream) Finish() { s.shutdown(unix.SHUT_WR) }

// Broken lets the job's next write fail.
func (s *Stream) Broken() { s.shutdown(unix.SHUT_RD) }

// shutdown ends one way, or a pipe, which has one.
func (s *Stream) shutdown(way int) {
	if !s.socket {
		s.own.Close()
		return
	}
	if raw, err := s.own.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.Shutdown(int(fd), way) })
	}
}

// Read reads what the job writes. io.EOF: it will write no more.
func (s *Stream) Read(b []byte) (int, error) { return s.own.Read(b) }

// Closed waits until the job can do nothing with it any more, or the stream was closed here; then it says false. Nobody may be in Read.
func (s *Stream) Closed() bool {
	raw, err := s.own.SyscallConn()
	return err == nil && raw.Read(func(fd uintptr) bool { return hungUp(int(fd)) }) == nil
}

// Close ends whatever is under way.
func (s *Stream) Close() { s.own.Close() }

func hungUp(fd int) bool {
	set := []unix.PollFd{{Fd: int32(fd)}}
	_, err := unix.Poll(set, 0)
	return err == nil && set[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
}
