package relay

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Arrivals number what the jobs of this node write in the order in which they write it: of two jobs that wait for each other's files, the
// home can then show the lines in their order (link.Turns).
//
// That the goroutine of one pipe reads before that of another says nothing: the runtime's poller wakes those that became ready together in
// reverse. The kernel keeps the order, in the ready list of an epoll instance. So whoever is woken first looks there, and gives out the numbers for all.
type Arrivals struct {
	mu    sync.Mutex // guards the rest, and what is said to be of it
	epoll int
	last  int32
	of    map[int32]*Arrival
}

// An Arrival is the output pipe of a job. It is read by one goroutine.
type Arrival struct {
	all   *Arrivals
	id    int32
	file  *os.File
	conn  syscall.RawConn
	count *uint64 // the highest number of this home; of Arrivals.mu

	order uint64 // of what waits in the pipe, of Arrivals.mu; 0: none was given
	size  int    // how much of it
}

// NewArrivals makes a set without pipes.
func NewArrivals() (*Arrivals, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &Arrivals{epoll: epoll, of: make(map[int32]*Arrival)}, nil
}

// Close gives the set back, when its pipes have been closed.
func (a *Arrivals) Close() error { return unix.Close(a.epoll) }

// Add enters a pipe that NewDrain has made. count is the highest number that its home was given; all pipes of one home share it. os.ErrClosed says that the pipe was
// closed meanwhile, here and by Read.
func (a *Arrivals) Add(f *os.File, count *uint64) (*Arrival, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.of) == 1 {
		a.sweep() // what the only one has in the list is old
	}
	a.last++
	r := &Arrival{all: a, id: a.last, file: f, conn: conn, count: count}
	cerr := conn.Control(func(fd uintptr) {
		err = unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: r.id})
	})
	if cerr != nil {
		return nil, os.ErrClosed
	}
	if err != nil {
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	a.of[r.id] = r
	return r, nil
}

// Remove takes the pipe out; the kernel has done so when it was closed.
func (r *Arrival) Remove() {
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	delete(r.all.of, r.id)
}

// Read reads what the job has written, and says the number of that.
func (r *Arrival) Read(b []byte) (n int, order uint64, err error) {
	cerr := r.conn.Read(func(fd uintptr) bool {
		size := 0
		order, size = r.number(int(fd), len(b))
		n, err = unix.Read(int(fd), b[:size])
		return err != unix.EAGAIN
	})
	switch {
	case cerr != nil: // a RawConn has another word for it, which nobody can compare with
		return 0, 0, os.ErrClosed
	case err != nil:
		return 0, 0, os.NewSyscallError("read", err)
	}
	if order == 0 && n > 0 {
		r.all.mu.Lock()
		*r.count++
		order = *r.count
		r.all.mu.Unlock()
	}
	return n, order, nil
}

// number is the number of what is in the pipe, and how much of it may be read by that number; 0: the next one.
func (r *Arrival) number(fd, most int) (uint64, int) {
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	if r.order == 0 && len(r.all.of) > 1 && unread(fd) > 0 { // else it is the only one, or at its end, or there is nothing yet
		r.all.sweep()
		if r.order == 0 { // an earlier number did not cover it
			r.give(fd)
		}
	}
	if r.order == 0 {
		return 0, most
	}
	order, size := r.order, min(r.size, most)
	r.order = 0
	return order, size
}

// sweep numbers all that has been written since the last time, in the order in which it was.
func (a *Arrivals) sweep() {
	var events [32]unix.EpollEvent
	n, _ := unix.EpollWait(a.epoll, events[:], 0)
	for _, e := range events[:max(n, 0)] {
		if r := a.of[e.Fd]; r != nil && r.order == 0 {
			r.conn.Control(func(fd uintptr) { r.give(int(fd)) })
		}
	}
}

func (r *Arrival) give(fd int) {
	if size := unread(fd); size > 0 {
		*r.count++
		r.order, r.size = *r.count, size
	}
}
