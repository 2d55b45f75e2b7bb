package spawn

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mexec"
)

// Process is a job that was started. Its life:
//
//	running --Wait--> reaped --Release--> released
//
// A number of a process may be used only while it is running: until it is reaped, the kernel gives that number to nobody else.
type Process struct {
	spawner *Spawner
	pid     int      // of the job's main process
	stage   int      // our child: the same, or its supervisor
	pidfd   *os.File // of our child, readable when it has ended
	channel *os.File
	group   *group      // nil: only a supervisor holds the job
	super   *supervisor // nil: only a group holds it
	kills   sync.WaitGroup
	changes changes
	files   []handed   // copies of the files that the stage has opened
	moved   []Position // of those, after Release
	unheard *Job       // not nil: nobody has read yet whether execve succeeded. Wait does

	mu       sync.Mutex
	reaped   bool
	killed   bool
	released bool
}

// Pid is the process number of the job's main process.
func (p *Process) Pid() int { return p.pid }

// Signal sends sig to the job's main process, or to its process group. After Wait it says os.ErrProcessDone.
func (p *Process) Signal(sig syscall.Signal, group bool) error {
	if p.super != nil {
		return p.super.signal(sig, group)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return os.ErrProcessDone
	}
	if group {
		err := syscall.Kill(-p.pid, sig)
		if err != syscall.ESRCH {
			return err
		}
		// It has no group of its own yet: then it is alone.
	}
	return syscall.Kill(p.pid, sig)
}

// Kill kills every process of the job. They may take a moment to be gone: Wait and Release know.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.released:
		return nil
	case p.group == nil:
		return p.killSupervised()
	case p.group.atomic:
		return p.group.kill()
	}
	// To freeze and thaw takes its time.
	if !p.killed {
		p.killed = true
		p.kills.Go(func() { p.group.clear(patience) })
	}
	return nil
}

// Wait waits until the job's main process has ended, and tells how. Of a job that came by Hand it may be a *StepError: the program has
// not run.
func (p *Process) Wait() (mexec.Status, mexec.Usage, error) {
	status, usage, err := p.reap()
	if err == nil && p.unheard != nil {
		if err := p.begin(p.unheard); err != nil { // said by now, or never: the stage is gone
			return mexec.Status{}, mexec.Usage{}, err
		}
	}
	if err == nil && p.super != nil {
		status, err = p.super.wait()
	}
	if err != nil {
		return mexec.Status{}, mexec.Usage{}, fmt.Errorf("wait for %d: %w", p.pid, err)
	}
	s := mexec.Status{Code: status.ExitStatus()}
	if status.Signaled() {
		s = mexec.Status{Signal: status.Signal(), Core: status.CoreDump()}
	}
	return s, mexec.Usage{
		User:   time.Duration(usage.Utime.Nano()),
		System: time.Duration(usage.Stime.Nano()),
		MaxRSS: int64(usage.Maxrss),
	}, nil
}

// reap parks in the network poller until our child has ended. wait4 by number is safe: it is this very call that frees the number.
func (p *Process) reap() (status syscall.WaitStatus, usage syscall.Rusage, err error) {
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return status, usage, err
	}
	var waitErr error
	err = conn.Read(func(uintptr) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.reaped {
			waitErr = os.ErrProcessDone
			return true
		}
		pid := 0
		for {
			pid, waitErr = syscall.Wait4(p.stage, &status, syscall.WNOHANG, &usage)
			if waitErr != syscall.EINTR {
				break
			}
		}
		p.reaped = pid == p.stage
		return pid != 0
	})
	p.spawner.stops.remove(p)
	return status, usage, errors.Join(err, waitErr)
}

// Release kills what the job has left behind and waits until it is gone. An error says that something of the job still exists.
func (p *Process) Release() error {
	p.mu.Lock()
	if p.released {
		p.mu.Unlock()
		return nil
	}
	p.released = true
	p.mu.Unlock()

	p.kills.Wait()
	p.changes.close()
	p.pidfd.Close()
	p.channel.Close()
	if p.super != nil {
		<-p.super.done
	}
	defer p.settle()
	if p.group == nil {
		return nil
	}
	return p.spawner.pool.put(p.group)
}

// putBack returns the group of a process that was never made.
func (p *Process) putBack() {
	if p.group != nil {
		p.spawner.pool.put(p.group)
	}
}

// gone waits until our child has ended: a supervisor takes its whole tree with it.
func (p *Process) gone(deadline time.Time) error {
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return nil // released
	}
	ended := true
	conn.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for n := -1; n < 0; {
			var err error
			n, err = unix.Poll(poll, int(max(0, time.Until(deadline).Milliseconds())))
			ended = n > 0 || (err != nil && err != unix.EINTR)
			if ended {
				return
			}
		}
	})
	if !ended {
		return fmt.Errorf("job %d: still there after it was killed", p.stage)
	}
	return nil
}
