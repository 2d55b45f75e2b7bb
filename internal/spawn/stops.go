package spawn

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
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

// stops hears SIGCHLD for all processes of a Spawner and tells each of its stops and continues. A pidfd does not tell of these.
type stops struct {
	// starting is held for reading from before a fork until its process is known here. Whoever holds it for writing can be sure that
	// a child that is not known is not a job. SIGCHLD comes with every end of a job, so the writer's side is taken only for a real notice.
	starting sync.RWMutex

	mu   sync.Mutex
	jobs map[int]*Process // by our child's number

	signals chan os.Signal
	done    chan struct{}
}

func watchStops() *stops {
	s := &stops{jobs: make(map[int]*Process), signals: make(chan os.Signal, 1), done: make(chan struct{})}
	signal.Notify(s.signals, syscall.SIGCHLD)
	go s.watch()
	return s
}

func (s *stops) close() {
	signal.Stop(s.signals)
	close(s.signals)
	<-s.done
}

func (s *stops) watch() {
	defer close(s.done)
	for range s.signals {
		if pid, _ := nextChange(unix.WNOWAIT); pid == 0 {
			continue
		}
		s.starting.Lock()
		for {
			pid, stopped := nextChange(0)
			if pid == 0 {
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

// nextChange asks for one child that was stopped or continued. No pid: none was.
func nextChange(flags int) (pid int, stopped syscall.Signal) {
	var raw unix.Siginfo
	for {
		err := unix.Waitid(unix.P_ALL, 0, &raw, unix.WSTOPPED|unix.WCONTINUED|unix.WNOHANG|flags, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return 0, 0
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
	return int(info.pid), stopped
}
