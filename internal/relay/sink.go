package relay

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Sink writes what a job printed to one descriptor of its caller. It is used by one goroutine.
type Sink struct {
	fd     int
	mode   uint32   // file type
	own    *os.File // the pipe or terminal opened anew
	opened bool
	broken bool
}

// NewSink returns a sink for fd, which stays open and is not closed by it. Nothing is opened before the first byte: most commands
// print nothing.
func NewSink(fd int) *Sink { return &Sink{fd: fd} }

// Broken says that the reader is gone.
func (s *Sink) Broken() bool { return s.broken }

// Write writes all of b, waits as long as the reader makes it, and ends early only with ctx or when the reader is gone. After that
// it takes and drops everything, as nobody is there to read it.
func (s *Sink) Write(ctx context.Context, b []byte) error {
	if s.broken {
		return nil
	}
	if !s.opened {
		s.open()
	}
	err := s.write(ctx, b)
	if err != nil && ctx.Err() == nil {
		s.broken = true
	}
	return err
}

func (s *Sink) open() {
	s.opened = true
	var st unix.Stat_t
	if unix.Fstat(s.fd, &st) == nil {
		s.mode = st.Mode & unix.S_IFMT
	}
	s.own = anew(s.fd, unix.O_WRONLY)
}

func (s *Sink) write(ctx context.Context, b []byte) error {
	if s.own != nil {
		// Cheaper than a goroutine for each write: one registration that moves the deadline into the past.
		defer context.AfterFunc(ctx, func() { s.own.SetWriteDeadline(time.Unix(1, 0)) })()
		_, err := s.own.Write(b)
		return err
	}
	for len(b) > 0 {
		n, err := s.piece(ctx, b)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if err := await(ctx, s.fd, unix.POLLOUT); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			b = b[n:]
		}
	}
	return nil
}

// piece writes a part of b in the way that can't hang, by the kind of the file.
func (s *Sink) piece(ctx context.Context, b []byte) (int, error) {
	switch s.mode {
	case unix.S_IFREG, unix.S_IFBLK:
		return unix.Write(s.fd, b)
	case unix.S_IFSOCK:
		return unix.SendmsgN(s.fd, b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	}
	// After POLLOUT a pipe takes this much at once, unless another writer is quicker.
	const pipeBuf = 4096
	if err := await(ctx, s.fd, unix.POLLOUT); err != nil {
		return 0, err
	}
	return unix.Write(s.fd, b[:min(len(b), pipeBuf)])
}

// Close lets go of what the sink opened itself.
func (s *Sink) Close() {
	if s.own != nil {
		s.own.Close()
	}
}
