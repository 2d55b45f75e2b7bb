package relay

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"mexec/internal/demand"
)

// unseen is how long a job that has its terminal raw is looked at before it is taken to read it in a way that is not seen.
const unseen = 8 * time.Millisecond

func (p *Pty) wake() {
	select {
	case p.prompt <- struct{}{}:
	default:
	}
}

// Ask calls ask whenever the job waits for its terminal and has read all that it was given, with the number of bytes that it would read;
// never again before Type has brought them. So what a person types while a job computes stays at home, for the shell, as it would without us. It
// ends with ctx.
//
// A pty does not tell that somebody reads it. So the job's processes are looked at, also soon after output that may be a prompt.
func (p *Pty) Ask(ctx context.Context, pids func() []int, typed <-chan struct{}, ask func(bytes int)) {
	demand.Watch(ctx, p.prompt, func(idle time.Duration) (found, enough bool) {
		n := p.wanted(pids, idle >= unseen)
		if n == 0 {
			return false, false
		}
		ask(n)
		select {
		case <-ctx.Done():
		case <-typed:
		}
		return true, false
	})
}

// wanted is how many bytes the job waits for, 0 for none.
func (p *Pty) wanted(pids func() []int, patient bool) int {
	fd := int(p.Slave.Fd())
	// poll first: it waits for what is still on its way from the master, TIOCINQ does not.
	unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	if n, err := unix.IoctlGetInt(fd, unix.TIOCINQ); err != nil || n > 0 {
		return 0
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return 0
	}
	raw := t.Lflag&unix.ICANON == 0
	n := demand.Waited(pids(), demand.File{Device: p.device})[demand.File{Device: p.device}]
	switch {
	case n <= 0 && raw && patient && p.isKeys():
		return Page
	case n <= 0:
		return 0
	case !raw:
		return Page // the caller's terminal gives one line at a time, and the rest of that is for the same program
	}
	return min(n, Page)
}

func (p *Pty) isKeys() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys
}

// Type gives the job what was typed; with eof, an end of file.
func (p *Pty) Type(b []byte, eof bool) {
	p.tie()
	if eof {
		p.conn.Control(func(fd uintptr) {
			if t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS); err == nil && t.Lflag&unix.ICANON != 0 {
				b = []byte{t.Cc[unix.VEOF]}
			}
		})
	}
	if len(b) > 0 {
		p.master.Write(b)
	}
}
