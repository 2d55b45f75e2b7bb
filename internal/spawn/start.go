package spawn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Job is what Start needs to know of a job.
type Job struct {
	Exec   []byte // exec body, already validated by package wire
	SetIDs bool   // become UID, GID and Groups; else the job is the daemon's own user's
	UID    uint32
	GID    uint32
	Groups []uint32

	SameKernel     bool // the caller's kernel is this one
	CheckDirectory bool
	CheckProgram   bool
	Skew           time.Duration // how far the two clocks may be apart
	EnvSetter      string        // script of this node that makes the job's environment; "" for none
	Nicer          int           // how much nicer than its caller has it, up to 19; 20: SCHED_IDLE. Real-time jobs stay as they are

	Stdio       [3]*os.File  // nil: closed. The caller closes them after Start
	Terminal    bool         // the terminal among Stdio becomes the job's controlling one, and the job its foreground group. A supervisor leads its session
	Descriptors []Descriptor // others, ascending

	// Born is told the number of a process that the job will be, or be a child of, before the job can do anything; nil: nobody asks.
	// It is told another where the first was no good.
	Born func(pid int)
}

// Start starts j. An error is a *StepError where a step before the program failed, else one of ours; in both cases nothing is left.
func (s *Spawner) Start(j Job) (*Process, error) { return s.StartContext(context.Background(), j) }

// StartContext is Start that a context can end: a script that makes an environment, or a dead file server, may take any time.
// Once it has returned a Process, ctx means nothing to that.
func (s *Spawner) StartContext(ctx context.Context, j Job) (*Process, error) {
	p, err := s.hand(&j)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { p.Kill() })
	err = p.begin(&j)
	if killed := !stop(); err == nil && !killed {
		return p, nil
	}
	// A stage that has told what is wrong is about to end.
	if _, told := err.(*StepError); !told {
		p.Kill()
	}
	p.end()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, err
}

// Hand gives j to a stage and returns: whether its program came to run is for Wait to say, which gives the *StepError if it did not. A
// command that is over in a moment costs one wake-up less so. An environment setter and a supervisor have news before the job's end,
// so that Hand is StartContext for them, and also gives their errors.
func (s *Spawner) Hand(ctx context.Context, j Job) (*Process, error) {
	if s.pool == nil || j.EnvSetter != "" || j.Terminal {
		return s.StartContext(ctx, j)
	}
	p, err := s.hand(&j)
	if err == nil {
		p.unheard = &j
	}
	return p, err
}

// hand gives j to a stage: one that stands by, or a new one. One that stood by may have been killed by somebody; then nothing was lost.
func (s *Spawner) hand(j *Job) (*Process, error) {
	for {
		p := s.standby.take()
		stood := p != nil
		if !stood {
			var err error
			if p, err = s.fork(); err != nil {
				return nil, err
			}
		}
		if j.Born != nil {
			j.Born(p.pid)
		}
		err := p.send(j)
		s.standby.fill()
		if err == nil {
			return p, nil
		}
		p.Kill()
		p.end()
		if !stood {
			return nil, err
		}
	}
}

// end waits for a stage that becomes no job.
func (p *Process) end() {
	p.Wait()
	p.Release()
}

// fork makes a stage, and everything that holds it. It waits for its frame.
func (s *Spawner) fork() (p *Process, err error) {
	p = &Process{spawner: s}
	if s.pool != nil {
		if p.group, err = s.pool.get(); err != nil {
			return nil, err
		}
	}
	// A socket pair rather than a pipe: descriptors go with the frame; records and, with a supervisor, requests take the way back.
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		p.putBack()
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	unix.FcntlInt(uintptr(pair[0]), unix.F_SETFL, unix.O_RDWR|unix.O_NONBLOCK)
	err = s.forkStage(p, pair[1])
	unix.Close(pair[1])
	if err != nil {
		unix.Close(pair[0])
		p.putBack()
		return nil, err
	}
	p.channel = os.NewFile(uintptr(pair[0]), "stage")
	if p.group != nil && !p.group.born {
		if err := p.group.enter(p.pid); err != nil {
			unix.Kill(p.pid, unix.SIGKILL) // what ends a group does not reach one that is outside; nobody has waited for it, so the number is its own
			p.Kill()
			p.end()
			return nil, err
		}
	}
	return p, nil
}

func (s *Spawner) forkStage(p *Process, channel int) error {
	s.stops.starting.RLock()
	defer s.stops.starting.RUnlock()
	if s.isClosed() {
		return ErrClosed
	}
	group := -1
	if p.group != nil && p.group.born {
		group = p.group.dir
	}
	pid, pidfd, err := s.forks.fork(channel, group)
	if err != nil {
		return err
	}
	p.pid, p.stage = pid, pid
	unix.FcntlInt(uintptr(pidfd), unix.F_SETFL, unix.O_RDWR|unix.O_NONBLOCK)
	p.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
	s.stops.add(p)
	return nil
}

// send gives the stage its frame, and with the first byte the job's descriptors. The stage may say what is wrong before it has read all:
// that is then the record to read.
func (p *Process) send(j *Job) error {
	head := appendFrame(make([]byte, 0, 256), j, p.spawner.ignored, p.group == nil)
	fds := make([]int, 3, 4)
	for i, f := range j.Stdio {
		fds[i] = int(p.spawner.null.Fd()) // takes the place of a closed one, which the stage closes
		if f != nil {
			fds[i] = int(f.Fd())
		}
	}
	if j.EnvSetter != "" {
		fds = append(fds, p.spawner.setters.fd(int(p.spawner.null.Fd())))
	}
	for _, d := range j.Descriptors {
		if d.Attached != nil {
			fds = append(fds, int(d.Attached.Fd()))
		}
	}
	rights := unix.UnixRights(fds...)
	conn, err := p.channel.SyscallConn()
	if err != nil {
		return err
	}
	sent := 0
	werr := conn.Write(func(fd uintptr) bool {
		sent, err = unix.SendmsgBuffers(int(fd), [][]byte{head, j.Exec}, rights, nil, unix.MSG_NOSIGNAL)
		return err != unix.EAGAIN
	})
	if err = errors.Join(werr, err); err != nil {
		return fmt.Errorf("stage frame: %w", err)
	}
	for _, b := range [][]byte{head, j.Exec} {
		if n := min(sent, len(b)); n < len(b) {
			if _, err := p.channel.Write(b[n:]); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				return fmt.Errorf("stage frame: %w", err)
			}
			sent = 0
		} else {
			sent -= n
		}
	}
	return nil
}

// begin reads records until the job's execve is known to have succeeded.
func (p *Process) begin(j *Job) error {
	ready := j.EnvSetter == ""
	var buf [recordSize]byte
	for {
		var files []int
		var err error
		if len(j.Descriptors) > 0 {
			files, err = p.receive(buf[:])
		} else {
			_, err = io.ReadFull(p.channel, buf[:])
		}
		switch {
		case err == io.EOF && p.group != nil && !j.Terminal && ready:
			p.channel.Close()
			return nil
		case err == io.EOF:
			return fmt.Errorf("stage %d: died before the job began", p.stage)
		case err != nil:
			return fmt.Errorf("stage %d: %w", p.stage, err)
		}
		r := parseRecord(buf[:])
		switch r.step {
		case stepReady:
			ready = true
		case stepOpened:
			p.opened(j, files, syscall.Errno(r.errno))
		case stepChild:
			if !ready {
				return fmt.Errorf("stage %d: died before the job began", p.stage)
			}
			p.supervised(int(r.detail))
			return nil
		default:
			return &StepError{Step: r.step, Errno: syscall.Errno(r.errno), Detail: r.detail, object: j.object(r.step, r.detail)}
		}
	}
}
