package jobserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// well is what tokens of a job lie in: a fifo, which may serve one job after the other, or a pipe.
type well struct {
	path   string // of a fifo
	pipe   *Pipe
	wd     int32
	uid    uint32
	opened bool
	nest   *Nest // nil: no job has it
}

// mostIdle bounds the fifos that wait for the next job.
const mostIdle = 64

// watched is what the kernel tells of a nest: that somebody opened it, took a token or brought one back.
const watched = unix.IN_OPEN | unix.IN_ACCESS | unix.IN_MODIFY

// Nests are the pipes and fifos that jobs of other homes have on this node in place of their callers'. With make 4.4 and later each command is given a
// fifo, and hardly any opens it: a fifo that no job has opened serves the next one, so that it costs a command no system call but one.
type Nests struct {
	dir string

	mu     sync.Mutex // guards the rest, and that an event is read and acted on in one
	made   int
	notify *os.File // inotify; nil: nothing was asked for yet
	fd     int
	failed error
	wells  map[int32]*well    // by the watch
	idle   map[uint32][]*well // by the user: a process of his that knows its path may have opened one
	idles  int
	closed bool
	wg     sync.WaitGroup
}

// NewNests returns the nests of a daemon. It makes the directory dir when the first fifo is needed; what is there by then is an earlier daemon's.
func NewNests(dir string) *Nests {
	return &Nests{dir: dir, wells: map[int32]*well{}, idle: map[uint32][]*well{}}
}

// Fifo returns a nest with a fifo that only this user can open.
func (s *Nests) Fifo(uid, gid uint32) (*Nest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return nil, err
	}
	if own := s.idle[uid]; len(own) > 0 {
		s.idle[uid] = own[:len(own)-1]
		s.idles--
		return s.nest(own[len(own)-1]), nil
	}
	w, err := s.makeFifo(uid, gid)
	if err != nil {
		return nil, fmt.Errorf("jobserver: %w", err)
	}
	return s.nest(w), nil
}

// Pipe returns a nest with a pipe, and its two ends as make would have made them. They are the caller's.
func (s *Nests) Pipe() (n *Nest, r, w *os.File, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return nil, nil, nil, err
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, nil, fmt.Errorf("jobserver: pipe2: %w", err)
	}
	r, w = os.NewFile(uintptr(ends[0]), "jobserver"), os.NewFile(uintptr(ends[1]), "jobserver")
	l := &well{opened: true} // make leaves a pipe open only for what will use it
	if l.pipe, err = anew(ends[0]); err == nil {
		if err = s.watch(l, "/proc/self/fd/"+strconv.Itoa(ends[0])); err != nil {
			l.pipe.Close()
		}
	}
	if err != nil {
		return nil, nil, nil, errors.Join(err, r.Close(), w.Close())
	}
	return s.nest(l), r, w, nil
}

func (s *Nests) nest(w *well) *Nest {
	w.nest = &Nest{nests: s, well: w, kick: make(chan struct{}, 1), done: make(chan struct{})}
	return w.nest
}

// open begins to listen to the kernel, once.
func (s *Nests) open() error {
	if s.closed {
		return errors.New("jobserver: closed")
	}
	if s.notify != nil || s.failed != nil {
		return s.failed
	}
	s.failed = s.begin()
	return s.failed
}

func (s *Nests) begin() error {
	if strings.ContainsAny(s.dir, " \t\n\\'\"$#&;|()<>*?`") { // it goes into MAKEFLAGS
		return fmt.Errorf("jobserver: %s: a directory of such a name can't hold fifos", s.dir)
	}
	// Passed through by every user, listed by none.
	err := errors.Join(os.RemoveAll(s.dir), os.Mkdir(s.dir, 0o711), os.Chmod(s.dir, 0o711))
	if err != nil {
		return fmt.Errorf("jobserver: %w", err)
	}
	if s.fd, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		return fmt.Errorf("jobserver: inotify_init1: %w", err)
	}
	s.notify = os.NewFile(uintptr(s.fd), "inotify")
	s.wg.Go(s.listen)
	return nil
}

func (s *Nests) makeFifo(uid, gid uint32) (*well, error) {
	s.made++
	w := &well{path: filepath.Join(s.dir, strconv.Itoa(s.made)), uid: uid}
	if err := unix.Mkfifo(w.path, 0o600); err != nil {
		return nil, &os.PathError{Op: "mkfifo", Path: w.path, Err: err}
	}
	fd, err := unix.Open(w.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err == nil {
		w.pipe, err = anew(fd)
		unix.Close(fd)
	}
	if err == nil && os.Geteuid() == 0 {
		err = os.Lchown(w.path, int(uid), int(gid))
	}
	if err == nil {
		err = s.watch(w, w.path) // after our own opening
	}
	if err != nil {
		if w.pipe != nil {
			w.pipe.Close()
		}
		return nil, errors.Join(err, os.Remove(w.path))
	}
	return w, nil
}

func (s *Nests) watch(w *well, path string) error {
	wd, err := unix.InotifyAddWatch(s.fd, path, watched)
	if err != nil {
		return fmt.Errorf("inotify_add_watch %s: %w", path, err)
	}
	w.wd = int32(wd)
	s.wells[w.wd] = w
	return nil
}

// listen tells each nest what happens to it.
func (s *Nests) listen() {
	raw, err := s.notify.SyscallConn()
	if err != nil {
		return
	}
	var buf [4096]byte
	raw.Read(func(fd uintptr) bool {
		for {
			s.mu.Lock()
			n, err := unix.Read(int(fd), buf[:])
			if n > 0 {
				s.dispatch(buf[:n])
			}
			s.mu.Unlock()
			if n <= 0 && err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
}

func (s *Nests) dispatch(b []byte) {
	le := binary.LittleEndian
	for len(b) >= unix.SizeofInotifyEvent {
		wd, mask := int32(le.Uint32(b)), le.Uint32(b[4:])
		b = b[min(len(b), unix.SizeofInotifyEvent+int(le.Uint32(b[12:]))):]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			for _, w := range s.wells {
				w.used(true)
			}
		} else if w := s.wells[wd]; w != nil && mask&watched != 0 {
			w.used(mask&unix.IN_OPEN != 0)
		}
	}
}

// used notes that somebody did something.
func (w *well) used(opened bool) {
	w.opened = w.opened || opened
	if w.nest != nil {
		w.nest.live()
		poke(w.nest.kick)
	}
}

// leave takes the well of a job that has ended, with all that it started.
func (s *Nests) leave(w *well) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.nest = nil
	// An event may still be on its way, and would be taken for the next job's.
	pending, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ)
	if w.path != "" && !w.opened && err == nil && pending == 0 && s.idles < mostIdle && !s.closed {
		s.idle[w.uid] = append(s.idle[w.uid], w)
		s.idles++
		return
	}
	s.remove(w)
}

func (s *Nests) remove(w *well) {
	unix.InotifyRmWatch(s.fd, uint32(w.wd)) // else the watch holds a pipe that nobody has
	delete(s.wells, w.wd)
	if w.path != "" {
		os.Remove(w.path)
	}
	w.pipe.Close()
}

// Close removes everything. Every nest was closed before.
func (s *Nests) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, own := range s.idle {
		for _, w := range own {
			s.remove(w)
		}
	}
	s.idle, s.idles = nil, 0
	opened := s.notify != nil
	s.mu.Unlock()
	if !opened {
		return nil
	}
	err := s.notify.Close()
	s.wg.Wait()
	return errors.Join(err, os.Remove(s.dir))
}
