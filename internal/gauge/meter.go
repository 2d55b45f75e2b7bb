package gauge

import (
	"io/fs"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Meter is for who looks at the memory that this process may use a few times a second: it keeps the files open, and what it has found of the groups. What they
// say it reads anew each time.
type Meter struct {
	mu     sync.Mutex // guards the rest
	files  kept
	groups []group // that can limit memory
	own    string  // what the kernel said of our groups when they were found
	found  time.Time
}

// settled is how long groups are taken to be what they were, if this process was not moved: in one of them accounting may be switched on.
const settled = time.Minute

// NewMeter returns a Meter that has opened nothing yet.
func NewMeter() *Meter { return &Meter{files: kept{}} }

// Close lets go of the files. The Meter may be used again.
func (m *Meter) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files.close()
}

// Memory is how many bytes this process may have in all, and how many of them could be had now without swapping.
func (m *Meter) Memory() (available, total int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.findLocked()
	return memory(m.files, m.groups)
}

// Kills is how many processes the kernel has killed for want of memory, ever, in the groups that this process and its children are in; where there are
// none, on the machine. Only a change of it says anything.
func (m *Meter) Kills() (int64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.findLocked()
	return kills(m.files, m.groups)
}

// Stalled is the share of the last ten seconds in which nothing of the nearest group, or of the machine, could go on for want of memory. It is 0
// where the kernel does not tell.
func (m *Meter) Stalled() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.findLocked()
	return stalled(m.files, m.groups)
}

func (m *Meter) findLocked() {
	own, now := read(m.files, "proc/self", "cgroup"), time.Now()
	if own == m.own && now.Sub(m.found) < settled {
		return
	}
	m.files.close()
	m.groups, m.own, m.found = groups(machine, "memory"), own, now
}

// kept are files of the kernel's that stay open, by their path; what is absent is taken to be so until close. Not as os.File: some can be waited for, and Go's poller would be woken by each change of theirs.
type kept map[string]int

var _ fs.ReadFileFS = kept{}

const absent = -1

func (k kept) Open(name string) (fs.File, error) { return machine.Open(name) }

// ReadFile reads a file from its begin. One that can't be read any more, as that of a group that is gone, is opened anew.
func (k kept) ReadFile(name string) ([]byte, error) {
	if fd, ok := k[name]; ok {
		if fd == absent {
			return nil, &fs.PathError{Op: "open", Path: name, Err: unix.ENOENT}
		}
		if b, err := readAll(fd); err == nil {
			return b, nil
		}
		unix.Close(fd)
		delete(k, name)
	}
	fd, err := unix.Open("/"+strings.TrimPrefix(name, "/"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		if err == unix.ENOENT {
			k[name] = absent
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	b, err := readAll(fd)
	if err != nil {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	k[name] = fd
	return b, nil
}

func (k kept) close() {
	for _, fd := range k {
		if fd != absent {
			unix.Close(fd)
		}
	}
	clear(k)
}

// readAll reads until the end: before that the kernel may give less than there is room for.
func readAll(fd int) ([]byte, error) {
	var room [4096]byte
	var all []byte
	for {
		n, err := unix.Pread(fd, room[:], int64(len(all)))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case n == 0:
			return all, nil
		default:
			all = append(all, room[:n]...)
		}
	}
}
