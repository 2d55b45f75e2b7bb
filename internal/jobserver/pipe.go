package jobserver

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Pipe is a jobserver's pipe or fifo, as an open file of our own: it is not blocking, which nobody else notices. Wait is for one goroutine, the
// rest for any.
//
// The poller knows it only while somebody waits: it would wake up for each token that a make takes or puts back, a thread for each recipe.
type Pipe struct {
	fd int
	id identity

	mu    sync.Mutex // guards the rest
	waits *os.File   // nil: nobody waits
	woken bool
}

// identity tells one pipe from all others.
type identity struct{ device, inode uint64 }

// OpenFifo opens the fifo of a user, in the file system that process pid sees: what anybody may write into MAKEFLAGS must not lead a daemon
// of root to a fifo of somebody else.
func OpenFifo(pid int, path string, uid uint32) (*Pipe, error) {
	if path == "" || path[0] != '/' {
		return nil, fmt.Errorf("jobserver %q: no absolute path", path)
	}
	// Looked at before it is opened, for to open may do something: an O_PATH does nothing, and holds on to what was looked at.
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/root%s", pid, path), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("jobserver %s: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Uid != uid || st.Mode&0o600 != 0o600 {
		return nil, fmt.Errorf("jobserver %s: not a fifo that uid %d may use", path, uid)
	}
	return anew(fd)
}

// OpenPipe opens the pipe of two descriptors anew, one that reads and one that writes. It gives no more access than they have.
func OpenPipe(r, w int) (*Pipe, error) {
	var a, b unix.Stat_t
	if err := errors.Join(unix.Fstat(r, &a), unix.Fstat(w, &b)); err != nil {
		return nil, fmt.Errorf("jobserver: %w", err)
	}
	if a.Dev != b.Dev || a.Ino != b.Ino || !may(r, unix.O_RDONLY) || !may(w, unix.O_WRONLY) {
		return nil, errors.New("jobserver: not the two ends of one pipe")
	}
	return anew(r)
}

func may(fd, access int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	have := flags & unix.O_ACCMODE
	return err == nil && flags&unix.O_PATH == 0 && (have == access || have == unix.O_RDWR)
}

// anew opens the pipe behind a descriptor, and nothing else. Both ends in one, so that opening never waits for the other end, and a pipe that
// nobody else has open takes its bytes back.
func anew(fd int) (*Pipe, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil, errors.New("jobserver: no pipe")
	}
	path := "/proc/self/fd/" + strconv.Itoa(fd)
	own, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "jobserver", Path: path, Err: err}
	}
	return &Pipe{fd: own, id: identity{st.Dev, st.Ino}}, nil
}

// Free is how many tokens are in the pipe.
func (p *Pipe) Free() int {
	n, err := unix.IoctlGetInt(p.fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// pipeful is more than any jobserver has.
const pipeful = 4096

// Take takes at most n tokens, as many as there are.
func (p *Pipe) Take(n int) []byte {
	b := make([]byte, n)
	for {
		n, err := unix.Read(p.fd, b)
		if err != unix.EINTR {
			return b[:max(0, n)]
		}
	}
}

// Put puts tokens in. They have been in a pipe of that size before, so there is room.
func (p *Pipe) Put(tokens []byte) {
	for len(tokens) > 0 {
		n, err := unix.Write(p.fd, tokens)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		tokens = tokens[n:]
	}
}

// Wait waits in the poller until there is a token, or until Wake.
func (p *Pipe) Wait() error {
	f, err := p.wait()
	if err != nil {
		return err
	}
	defer func() {
		p.mu.Lock()
		p.waits = nil
		p.mu.Unlock()
		f.Close()
	}()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(uintptr) bool { return p.Free() > 0 })
}

func (p *Pipe) wait() (*os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.woken {
		return nil, os.ErrDeadlineExceeded
	}
	fd, err := unix.FcntlInt(uintptr(p.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "jobserver", Path: "its pipe", Err: err}
	}
	p.waits = os.NewFile(uintptr(fd), "jobserver")
	return p.waits, nil
}

// Wake ends all waiting, now and later.
func (p *Pipe) Wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.woken = true
	if p.waits != nil {
		p.waits.SetReadDeadline(time.Unix(1, 0))
	}
}

// Close lets go of the pipe, which nobody may be using.
func (p *Pipe) Close() error { return unix.Close(p.fd) }
