package spawn

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// supervisor is our view of the process that holds a job where no control group can, or leads the session of its terminal (libmexec/supervise.c).
type supervisor struct {
	channel *os.File
	done    chan struct{} // closed when it has said its last word
	ended   bool          // read after done: status is the job's
	status  syscall.WaitStatus
}

// supervised begins to follow a supervisor that has reported its job.
func (p *Process) supervised(job int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = job
	p.super = &supervisor{channel: p.channel, done: make(chan struct{})}
	go p.super.follow(&p.changes)
}

// follow ends when the supervisor does: it dies with its job.
func (s *supervisor) follow(c *changes) {
	defer close(s.done)
	var buf [recordSize]byte
	for {
		if _, err := io.ReadFull(s.channel, buf[:]); err != nil {
			return
		}
		switch r := parseRecord(buf[:]); r.step {
		case stepStatus:
			s.status, s.ended = syscall.WaitStatus(r.detail), true
		case stepStopped:
			c.set(syscall.Signal(r.detail))
		case stepContinued:
			c.set(0)
		}
	}
}

// isSupervised says that our child is not the job: a supervisor tells of the job's stops itself.
func (p *Process) isSupervised() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.group == nil || p.super != nil
}

func (s *supervisor) wait() (syscall.WaitStatus, error) {
	<-s.done
	if !s.ended {
		return 0, errors.New("its supervisor died")
	}
	return s.status, nil
}

func (s *supervisor) signal(sig syscall.Signal, group bool) error {
	op := uint32(requestSignal)
	if group {
		op = requestSignalGroup
	}
	if _, err := s.channel.Write(request(op, uint32(sig))); err != nil {
		return os.ErrProcessDone
	}
	return nil
}

// killSupervised also ends a stage that is not yet a job: it is its supervisor that reads.
func (p *Process) killSupervised() error {
	p.channel.Write(request(requestKill, 0)) // it can fail only because the supervisor, and so its tree, is gone
	return nil
}
