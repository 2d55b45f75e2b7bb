package relay

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Source reads what the caller has for the job's stdin. Read is for one goroutine, Close for any.
type Source struct {
	fd   int
	mode uint32
	own  *os.File
	once sync.Once
}

// NewSource returns a source for fd, which stays open and is not closed by it.
func NewSource(fd int) *Source {
	s := &Source{fd: fd}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil {
		s.mode = st.Mode & unix.S_IFMT
	}
	s.own = anew(fd, unix.O_RDONLY)
	return s
}

// Read reads at most len(b) bytes, waits until there are some, and ends with io.EOF or with ctx. Nothing is read beyond len(b):
// what the job does not ask for stays with the caller.
func (s *Source) Read(ctx context.Context, b []byte) (int, error) {
	if s.own != nil {
		defer context.AfterFunc(ctx, func() { s.own.SetReadDeadline(time.Unix(1, 0)) })()
		return s.own.Read(b)
	}
	for {
		n, err := s.piece(ctx, b)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			if err := await(ctx, s.fd, unix.POLLIN); err != nil {
				return 0, err
			}
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (s *Source) piece(ctx context.Context, b []byte) (int, error) {
	switch s.mode {
	case unix.S_IFREG, unix.S_IFBLK:
		return unix.Read(s.fd, b)
	case unix.S_IFSOCK:
		n, _, err := unix.Recvfrom(s.fd, b, unix.MSG_DONTWAIT)
		return n, err
	}
	if err := await(ctx, s.fd, unix.POLLIN); err != nil {
		return 0, err
	}
	return unix.Read(s.fd, b)
}

// GiveBack puts the last n bytes that were read back, where the file has a position that can be moved.
func (s *Source) GiveBack(n int64) {
	if n > 0 && s.mode == unix.S_IFREG {
		unix.Seek(s.fd, -n, io.SeekCurrent)
	}
}

// Close ends a Read of a pipe or terminal and lets go of what the source opened itself.
func (s *Source) Close() {
	s.once.Do(func() {
		if s.own != nil {
			s.own.Close()
		}
	})
}
