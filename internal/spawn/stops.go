package spawn

import (
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Changes registers fn, once, to hear of stops (the signal) and continues (0), one at a time and in order. A stop that came before is told
// at once; changes that come faster than fn returns are told by the last of them, as the kernel does. fn is in nobody's way but Release's,
// which waits for it: after Release it is not called.
func (p *Process) Changes(fn func(stopped syscall.Signal)) { p.changes.listen(fn) }

type changes struct {
	mu      sync.Mutex
	fn      func(syscall.Signal)
	now     syscall.Signal
	told    syscall.Signal
	again   bool // now is a stop that has not been told, even where told is the same: of a continue and a stop the kernel may report the stop alone
	telling bool
	closed  bool

	teller sync.WaitGroup
}

func (c *changes) listen(fn func(syscall.Signal)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fn = fn
	c.tellLocked()
}

func (c *changes) set(stopped syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.again = stopped, stopped != 0
	c.tellLocked()
}

func (c *changes) tellLocked() {
	if c.fn != nil && c.newsLocked() && !c.telling && !c.closed {
		c.telling = true
		c.teller.Go(c.tell)
	}
}

func (c *changes) newsLocked() bool { return c.again || c.now != c.told }

// tell lives for as long as there is something to tell: almost no job is ever stopped.
func (c *changes) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.newsLocked() && !c.closed {
		c.told, c.again = c.now, false
		stopped := c.now
		c.mu.Unlock()
		c.fn(stopped)
		c.mu.Lock()
	}
	c.telling = false
}

func (c *changes) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.teller.Wait()
}

// stops hears of the stops and continues of all processes of a Spawner and tells each of its own. A pidfd does not tell of these.
//
// A thread waits for them in the kernel. SIGCHLD was refused: it comes with every end of a job, interrupts one thread and wakes two more to find that
// nothing has stopped.
type stops struct {
	// starting is held for reading from before a fork until its process is known here. Whoever holds it for writing can be sure that
	// a child that is not known is not a job.
	starting sync.RWMutex

	mu     sync.Mutex
	jobs   map[int]*Process // by our child's number
	closed bool

	born chan struct{} // there is a child to wait for
	done chan struct{}
}

func watchStops() *stops {
	deafen()
	s := &stops{jobs: make(map[int]*Process), born: make(chan struct{}, 1), done: make(chan struct{})}
	go s.watch()
	return s
}

// deafen lets the kernel drop SIGCHLD, for which the runtime has a handler whether anybody listens or not.
func deafen() {
	var none struct{ handler, flags, restorer, mask uintptr }
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(&none)), 0, unsafe.Sizeof(none.mask), 0, 0)
}

// close ends the watch. bell makes a child of ours go on and stop, which is what the thread waits for; that it has been heard by somebody is all that is
// known, so it rings again.
func (s *stops) close(bell func()) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	close(s.born)
	for {
		bell()
		select {
		case <-s.done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *stops) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *stops) watch() {
	defer close(s.done)
	for !s.isClosed() {
		_, _, err := nextChange(unix.WNOWAIT)
		if err != nil { // no children
			<-s.born
			continue
		}
		s.starting.Lock()
		for {
			pid, stopped, err := nextChange(unix.WNOHANG)
			if err != nil || pid == 0 {
				break
			}
			s.mu.Lock()
			p := s.jobs[pid]
			s.mu.Unlock()
			if p != nil && !p.isSupervised() {
				p.changes.set(stopped)
			}
		}
		s.starting.Unlock()
	}
}

func (s *stops) add(p *Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[p.stage] = p
	if !s.closed {
		select {
		case s.born <- struct{}{}:
		default:
		}
	}
}

// remove forgets p after it was reaped. Its number may be another process's by now.
func (s *stops) remove(p *Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs[p.stage] == p {
		delete(s.jobs, p.stage)
	}
}

func (s *stops) all() []*Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Process
	for _, p := range s.jobs {
		all = append(all, p)
	}
	return all
}

// nextChange waits for one child that was stopped or continued; with WNOHANG its number may be 0: none was.
func nextChange(flags int) (pid int, stopped syscall.Signal, err error) {
	var raw unix.Siginfo
	for {
		err = unix.Waitid(unix.P_ALL, 0, &raw, unix.WSTOPPED|unix.WCONTINUED|flags, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return 0, 0, err
		}
	}
	// The kernel's siginfo of a child, on 64-bit machines.
	info := (*struct {
		signo, errno, code, _ int32
		pid, uid, status      int32
	})(unsafe.Pointer(&raw))
	const continued = 6 // CLD_CONTINUED
	if info.code != continued {
		stopped = syscall.Signal(info.status)
	}
	return int(info.pid), stopped, nil
}
