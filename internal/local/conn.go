package local

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mexec/internal/wire"
)

// Conn is one caller: a stub with its job, or a client with a query.
type Conn struct {
	uc    *net.UnixConn
	buf   []byte // read but not yet taken
	first *first

	untaken bool
}

// Cred is who the kernel says the caller is.
type Cred struct {
	PID      int
	UID, GID uint32
	Groups   []uint32
}

// firstFrame is how long a caller may take over its first frame.
const firstFrame = 10 * time.Second

// first is room for a first frame, and for what comes with it. Almost every command's arguments and environment fit.
type first struct {
	frame  [16 << 10]byte
	rights [16 + 4*253]byte // a control message of as many descriptors as there can be in one
}

var buffers = sync.Pool{New: func() any { return new(first) }}

// ReadFirst reads the first frame and the descriptors that come with it; they are close-on-exec and the caller of ReadFirst
// closes them, also with an error. The body is valid until Done.
//
// The last byte of a job stays in the socket until Take: as long as it lies there, the kernel tells a stub that loses us that its job was not taken
// (ECONNRESET), which costs neither of us a word.
func (c *Conn) ReadFirst() (h wire.Header, body []byte, fds []int, err error) {
	c.uc.SetReadDeadline(time.Now().Add(firstFrame))
	defer c.uc.SetReadDeadline(time.Time{})
	c.first = buffers.Get().(*first)
	buf := c.first.frame[:]
	n, oobn, flags, _, err := c.uc.ReadMsgUnix(buf[:wire.HeaderLen], c.first.rights[:])
	if oobn > 0 {
		fds = rights(c.first.rights[:oobn])
	}
	if err != nil {
		return h, nil, fds, err
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return h, nil, fds, errors.New("too many descriptors came with the frame")
	}
	if _, err := io.ReadFull(c.uc, buf[n:wire.HeaderLen]); err != nil {
		return h, nil, fds, cutShort(err)
	}
	if h, err = wire.ParseHeader(buf); err != nil {
		return h, nil, fds, err
	}
	if h.Len <= len(buf) {
		body = buf[:h.Len:h.Len]
	} else {
		body = make([]byte, h.Len)
	}
	now := body
	if h.Type == wire.Exec && h.Len > 0 {
		now = body[:h.Len-1]
	}
	if _, err = io.ReadFull(c.uc, now); err == nil && len(now) < len(body) {
		body[len(now)], err = c.peek()
		c.untaken = err == nil
	}
	if err != nil {
		return h, nil, fds, cutShort(err)
	}
	return h, body, fds, nil
}

// peek looks at the next byte.
func (c *Conn) peek() (byte, error) {
	raw, err := c.uc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var b [1]byte
	var n int
	rerr := raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	if err = cmp.Or(rerr, err); err == nil && n == 0 {
		err = io.EOF
	}
	return b[0], err
}

// Take takes the job that ReadFirst has read: from here on a stub that loses us takes it for sent, unless it was told otherwise. It comes before
// ReadFrame, and may be called again.
func (c *Conn) Take() {
	if c.untaken {
		c.untaken = false
		c.uc.Read(make([]byte, 1)) // it lies there
	}
}

// ReadFrame reads the next frame; its body is valid until the next call. io.EOF: the caller is gone.
func (c *Conn) ReadFrame() (wire.Header, []byte, error) {
	if err := c.fill(wire.HeaderLen); err != nil {
		return wire.Header{}, nil, err
	}
	h, err := wire.ParseHeader(c.buf)
	if err != nil {
		return h, nil, err
	}
	if h.Len > wire.MaxFrame {
		return h, nil, fmt.Errorf("%v frame of %d bytes, at most %d here", h.Type, h.Len, wire.MaxFrame)
	}
	if err := c.fill(wire.HeaderLen + h.Len); err != nil {
		return h, nil, cutShort(err)
	}
	body := c.buf[wire.HeaderLen : wire.HeaderLen+h.Len]
	c.buf = c.buf[wire.HeaderLen+h.Len:]
	return h, body, nil
}

// fill reads until at least n bytes are held.
func (c *Conn) fill(n int) error {
	for len(c.buf) < n {
		more := make([]byte, max(n, 64))
		k := copy(more, c.buf)
		got, err := c.uc.Read(more[k:])
		c.buf = more[:k+got]
		if err != nil && len(c.buf) < n {
			return err
		}
	}
	return nil
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("frame cut short")
	}
	return err
}

// Write sends whole frames.
func (c *Conn) Write(frames []byte) error {
	_, err := c.uc.Write(frames)
	return err
}

// Close ends the conversation; a ReadFrame under way returns. It may be called again, from anywhere.
func (c *Conn) Close() error { return c.uc.Close() }

// Done gives the memory of the first frame back: its body is void. It comes last, once, after all who use the body.
func (c *Conn) Done() {
	if c.first != nil {
		buffers.Put(c.first)
		c.first = nil
	}
}

// Cred asks the kernel who connected.
func (c *Conn) Cred() (Cred, error) {
	var cred Cred
	raw, err := c.uc.SyscallConn()
	if err != nil {
		return cred, err
	}
	cerr := raw.Control(func(fd uintptr) {
		var u *unix.Ucred
		if u, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
			return
		}
		cred = Cred{PID: int(u.Pid), UID: u.Uid, GID: u.Gid}
		cred.Groups, err = peerGroups(fd)
	})
	if err = errors.Join(cerr, err); err != nil {
		return cred, fmt.Errorf("peer credentials: %w", err)
	}
	return cred, nil
}

func peerGroups(fd uintptr) ([]uint32, error) {
	groups := make([]uint32, 32)
	for {
		size := uint32(4 * len(groups))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch errno {
		case 0:
			return groups[:size/4], nil
		case unix.ERANGE:
			groups = make([]uint32, size/4)
		default:
			return nil, errno
		}
	}
}

// Pidfd is a descriptor of the caller's process, which stays the same when the stub executes the program in place. It is non-blocking
// and close-on-exec.
func (c *Conn) Pidfd(pid int) (int, error) {
	raw, err := c.uc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	cerr := raw.Control(func(s uintptr) {
		// SO_PEERPIDFD can't be fooled by a pid that was used again; it came with Linux 6.5.
		if fd, err = unix.GetsockoptInt(int(s), unix.SOL_SOCKET, unix.SO_PEERPIDFD); err == nil {
			err = unix.SetNonblock(fd, true)
			return
		}
		fd, err = unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	})
	if err = errors.Join(cerr, err); err != nil {
		return -1, fmt.Errorf("pidfd of %d: %w", pid, err)
	}
	return fd, nil
}

// rights takes the descriptors out of a control message; anything else in it is dropped.
func rights(oob []byte) []int {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var fds []int
	for i := range msgs {
		if got, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	return fds
}
