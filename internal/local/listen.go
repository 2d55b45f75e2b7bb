// Package local is the unix socket between a node's daemon and the stubs of its users: frames, descriptors, credentials.
//
// It believes the kernel and nobody else: who a caller is comes from SO_PEERCRED and SO_PEERGROUPS. The descriptors that a caller
// sends stay the caller's: nothing here sets a flag on them (O_NONBLOCK belongs to the open file, which the caller shares).
//
// A connection is read by one goroutine and may be written by another; writes from several are for the caller to order.
package local

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Listener is the daemon's end of the socket.
type Listener struct {
	ln   *net.UnixListener
	lock *os.File
	path string
}

// Listen makes the socket. A lock beside it, not the socket itself, says whether a daemon lives: a socket file that nobody
// holds the lock of is stale and is replaced, with no moment in which two daemons could both think so.
//
// With everyone, any user of the machine may connect; else only the daemon's own.
func Listen(path string, everyone bool) (*Listener, error) {
	dir := os.FileMode(0o700)
	mode := os.FileMode(0o600)
	if everyone {
		dir, mode = 0o755, 0o666
	}
	if err := os.MkdirAll(filepath.Dir(path), dir); err != nil {
		return nil, fmt.Errorf("listen %s: %w", path, err)
	}
	lock, err := lockBeside(path)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", path, err)
	}
	os.Remove(path)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err == nil {
		err = os.Chmod(path, mode)
	}
	if err != nil {
		if ln != nil {
			ln.Close()
		}
		lock.Close()
		return nil, fmt.Errorf("listen %s: %w", path, err)
	}
	return &Listener{ln, lock, path}, nil
}

// lockBeside takes the lock of a socket. Close removes its file, and who had opened that before would then lock a file that is gone, beside somebody
// who locks a new one: what was locked must still be what the name says.
func lockBeside(path string) (*os.File, error) {
	name := path + ".lock"
	for {
		lock, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			lock.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				err = errors.New("another mexecd serves it")
			}
			return nil, err
		}
		held, err := lock.Stat()
		if err != nil {
			lock.Close()
			return nil, err
		}
		if there, err := os.Stat(name); err == nil && os.SameFile(held, there) {
			return lock, nil
		}
		lock.Close()
	}
}

// Accept waits for the next caller.
func (l *Listener) Accept() (*Conn, error) {
	uc, err := l.ln.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return &Conn{uc: uc}, nil
}

// Close removes the socket and lets the next daemon have it.
func (l *Listener) Close() error {
	err := l.ln.Close()
	os.Remove(l.path + ".lock")
	return errors.Join(err, l.lock.Close())
}
