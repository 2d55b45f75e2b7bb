package relay

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mexec/internal/wire/mexecpb"
)

// partial is how long the begin of a line is held where several jobs share one terminal.
const partial = 20 * time.Millisecond

// untied is how long a program may look at settings that it has made from nothing.
const untied = 50 * time.Millisecond

// Pty is a job's terminal on the worker: a mirror of the caller's, which does the cooking (Terminal).
//
// With EXTPROC the kernel leaves what comes in at the master as it is: no echo, no line editing, no signals, and a lone end-of-file character is an
// end of file (n_tty.c). The job sees all flags as they are at its caller. In packet mode the master hears of each change that
// the job makes to them. What is written still gets its carriage returns here, by the flags that are in force at that moment: the caller's terminal is a
// message behind; it has them taken off where it puts them on itself (uncook).
type Pty struct {
	Slave *os.File // the job's end; ours to close

	master *os.File
	conn   syscall.RawConn
	device uint64
	lines  bool          // hold partial lines
	prompt chan struct{} // woken: the job may wait for input now

	mu    sync.Mutex // guards the rest
	told  unix.Termios
	keys  bool // where it is raw that is for the job's sake, and not for that of a shell which edits its line meanwhile
	after []func()
	over  bool
}

// NewPty makes a terminal like the caller's, for a job of a user.
func NewPty(like *mexecpb.Terminal, uid uint32, wholeLines bool) (*Pty, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	p := &Pty{master: os.NewFile(uintptr(fd), "/dev/ptmx"), lines: wholeLines, prompt: make(chan struct{}, 1)}
	if err := p.open(fd, like, uid); err != nil {
		p.Close()
		return nil, os.NewSyscallError("pty", err)
	}
	return p, nil
}

func (p *Pty) open(fd int, like *mexecpb.Terminal, uid uint32) (err error) {
	if p.conn, err = p.master.SyscallConn(); err != nil {
		return err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	// Not by its name: this daemon's /dev/pts need not be the one that /dev/ptmx belongs to.
	slave, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return errno
	}
	p.Slave = os.NewFile(slave, "/dev/pts")
	var st unix.Stat_t
	if err := unix.Fstat(int(slave), &st); err != nil {
		return err
	}
	p.device = st.Rdev
	if st.Uid != uid { // the job may open it by its name, as at home
		if err := unix.Fchown(int(slave), int(uid), -1); err != nil {
			return err
		}
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	apply(t, like)
	t.Lflag |= unix.EXTPROC
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return err
	}
	p.told, p.keys = *t, !like.Background
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, winsize(like)); err != nil {
		return err
	}
	return unix.IoctlSetPointerInt(fd, unix.TIOCPKT, 1)
}

// Serve sends what the job does with its terminal, in its order, until Finish or Close, or until send fails.
func (p *Pty) Serve(send func(*mexecpb.Down) error) error {
	const most = 32704 // of a message
	piece := make([]byte, 4097)
	held := make([]byte, 0, most)
	flush := func(n int) error {
		if n == 0 {
			return nil
		}
		err := send(&mexecpb.Down{Screen: held[:n]})
		if held[n-1] != '\n' {
			p.wake() // a prompt, perhaps
		}
		held = held[:copy(held, held[n:])]
		return err
	}
	var after []func()
	for {
		// Who asked before this read gets its answer when there is nothing more to read.
		more, over, cooked := p.waiting()
		after = append(after, more...)
		n, err := p.read(piece, false)
		if err == unix.EAGAIN {
			keep := 0
			if p.lines && cooked && !over && len(after) == 0 {
				keep = tail(held)
			}
			if err := flush(len(held) - keep); err != nil {
				return err
			}
			for _, do := range after {
				do()
			}
			after = nil
			if over {
				return nil
			}
			if !p.sleep(keep > 0) {
				continue
			}
			n, err = p.read(piece, true)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				if err := flush(len(held)); err != nil {
					return err
				}
				continue
			}
		}
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EIO), errors.Is(err, os.ErrClosed): // nobody has it open any more, or it was hung up
			return nil
		case err != nil:
			return err
		case n > 1 && piece[0] == unix.TIOCPKT_DATA:
			if len(held)+n-1 > most {
				if err := flush(len(bytes.TrimSuffix(held, []byte{'\r'}))); err != nil {
					return err
				}
			}
			held = append(held, piece[1:n]...)
		case n > 0 && piece[0] != unix.TIOCPKT_DATA:
			if err := flush(len(held)); err != nil {
				return err
			}
			if err := p.status(piece[0], send); err != nil {
				return err
			}
		}
	}
}

// tail is how much of b is the begin of a line. A line that is longer than what can be held is not.
func tail(b []byte) int {
	n := 0
	for n < len(b) && b[len(b)-1-n] != '\n' {
		n++
	}
	return n
}

// read reads from the master; with wait, until there is something or the deadline of sleep.
func (p *Pty) read(b []byte, wait bool) (n int, err error) {
	var connErr error
	if wait {
		connErr = p.conn.Read(func(fd uintptr) bool {
			n, err = unix.Read(int(fd), b)
			return err != unix.EAGAIN
		})
	} else {
		connErr = p.conn.Control(func(fd uintptr) { n, err = unix.Read(int(fd), b) })
	}
	if connErr != nil {
		return 0, connErr
	}
	return n, err
}

// status acts on a control byte of packet mode.
func (p *Pty) status(bits byte, send func(*mexecpb.Down) error) error {
	if bits&unix.TIOCPKT_FLUSHREAD != 0 {
		if err := send(&mexecpb.Down{Flush: true}); err != nil {
			return err
		}
	}
	if bits&unix.TIOCPKT_IOCTL == 0 {
		return nil
	}
	var news *mexecpb.Terminal
	loose := false
	p.mu.Lock()
	p.conn.Control(func(fd uintptr) {
		t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if err != nil {
			return
		}
		loose = t.Lflag&unix.EXTPROC == 0
		if t.Lflag |= unix.EXTPROC; *t != p.told {
			p.told, p.keys = *t, true
			news, _ = state(int(fd))
		}
	})
	p.mu.Unlock()
	if loose {
		time.AfterFunc(untied, p.tie)
	}
	if news == nil {
		return nil
	}
	p.wake()
	return send(&mexecpb.Down{Terminal: news})
}

// tie makes the terminal a mirror again after a program has made its settings from nothing, and dropped EXTPROC. What it has set meanwhile is
// heard of by that. It comes a moment late, for `stty sane` looks whether it has got what it has set, but before anything is typed.
func (p *Pty) tie() {
	p.conn.Control(func(fd uintptr) {
		if t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS); err == nil && t.Lflag&unix.EXTPROC == 0 {
			t.Lflag |= unix.EXTPROC
			unix.IoctlSetTermios(int(fd), unix.TCSETS, t)
		}
	})
}

func (p *Pty) waiting() (after []func(), over, cooked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	after, p.after = p.after, nil
	return after, p.over, p.told.Lflag&unix.ICANON != 0
}

// sleep prepares a read that waits. false: somebody wants something first.
func (p *Pty) sleep(short bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || len(p.after) > 0 {
		return false
	}
	until := time.Time{}
	if short {
		until = time.Now().Add(partial)
	}
	p.master.SetReadDeadline(until)
	return true
}

// After has do called by Serve when all that the job has written by now was sent.
func (p *Pty) After(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.after = append(p.after, do)
	p.master.SetReadDeadline(time.Unix(1, 0))
}

// Finish lets Serve end when all was sent: nothing of the job is left.
func (p *Pty) Finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.master.SetReadDeadline(time.Unix(1, 0))
}

// Hangup is the end of the terminal for a job that may run on. It makes no signal: the supervisor, which leads the session, is deaf.
func (p *Pty) Hangup() { p.master.Close() }

// Close lets go of the terminal.
func (p *Pty) Close() {
	if p.Slave != nil {
		p.Slave.Close()
	}
	p.master.Close()
}

// Set makes the terminal as the caller's is now: its size, and where s has them its settings.
func (p *Pty) Set(s *mexecpb.Terminal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn.Control(func(fd uintptr) {
		unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, winsize(s))
		if len(s.Cc) == 0 {
			return
		}
		if t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS); err == nil {
			apply(t, s)
			t.Lflag |= unix.EXTPROC
			p.keys = !s.Background
			if *t != p.told {
				p.told = *t
				unix.IoctlSetTermios(int(fd), unix.TCSETS, t)
			}
		}
	})
}

// Signal sends a signal as the terminal does, to its foreground group. false: that is none of a terminal's keys.
func (p *Pty) Signal(sig syscall.Signal) bool {
	if sig != syscall.SIGINT && sig != syscall.SIGQUIT && sig != syscall.SIGTSTP {
		return false
	}
	var err error
	connErr := p.conn.Control(func(fd uintptr) { err = unix.IoctlSetInt(int(fd), unix.TIOCSIG, int(sig)) })
	return err == nil && connErr == nil
}
