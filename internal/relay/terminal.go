package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mexec/internal/wire/mexecpb"
)

// ErrPaused is what a Read of a Terminal says that Pause has ended, or that was woken when it might not read.
var ErrPaused = errors.New("not to be read now")

// Device is the number of the terminal that fd is, as /proc shows it for a controlling terminal; also where fd is /dev/tty.
func Device(fd int) (uint32, bool) {
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGDEV)
	return n, err == nil
}

// Standing says how a process stands to a terminal: whether it is its controlling one, and whether the process may read from it and set
// it. Who has another controlling terminal, or none, may always.
func Standing(pid int, device uint32) (controlling, foreground bool) {
	// Not TIOCGPGRP: the kernel answers that for one's own controlling terminal only.
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false, false
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:]) // state ppid pgrp session tty_nr tpgid
	if len(f) < 6 {
		return false, false
	}
	if tty, _ := strconv.Atoi(string(f[4])); uint32(tty) != device {
		return false, true
	}
	return true, bytes.Equal(f[2], f[5])
}

// Screens lends the terminals that jobs share, so that what one of them prints stays together. The zero value is ready.
type Screens struct {
	mu    sync.Mutex
	turns map[[2]uint64]*turn
}

// turn is held by the one who writes to a terminal.
type turn struct {
	held  chan struct{}
	users int
}

// Terminal is the caller's terminal at home, as an open file of our own. It cooks: echo, line editing and the making of signals stay
// here, near the person; the job's own one on its worker only shows the same settings (Pty). A raw terminal here, as ssh has it, was refused: make, its other
// jobs and the shell's background share this one.
//
// Reading is for one goroutine, and so is writing. It must not be read or set while its caller is in the background.
type Terminal struct {
	file    *os.File
	conn    syscall.RawConn
	before  unix.Termios
	changed bool

	screens *Screens
	key     [2]uint64
	turn    *turn
	once    sync.Once

	mu     sync.Mutex
	paused bool
}

// Open opens the terminal of a descriptor anew; nil: it can't be had. For one that is open for writing only there is nothing to read, and
// the reverse.
func (s *Screens) Open(fd int) *Terminal {
	t := &Terminal{screens: s}
	for _, flags := range []int{unix.O_RDWR, unix.O_WRONLY, unix.O_RDONLY} {
		if t.file = anew(fd, flags); t.file != nil {
			break
		}
	}
	if t.file == nil {
		return nil
	}
	var err error
	if t.conn, err = t.file.SyscallConn(); err != nil {
		t.file.Close()
		return nil
	}
	var st unix.Stat_t
	t.control(func(fd int) {
		if now, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
			t.before = *now
		}
		unix.Fstat(fd, &st)
	})
	t.key = [2]uint64{st.Dev, st.Ino}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.turn = s.turns[t.key]; t.turn == nil {
		if s.turns == nil {
			s.turns = make(map[[2]uint64]*turn)
		}
		t.turn = &turn{held: make(chan struct{}, 1)}
		s.turns[t.key] = t.turn
	}
	t.turn.users++
	return t
}

func (t *Terminal) control(do func(fd int)) { t.conn.Control(func(fd uintptr) { do(int(fd)) }) }

// State is the terminal's settings and size, Size its size alone. nil: the terminal is gone.
func (t *Terminal) State() (s *mexecpb.Terminal) {
	t.control(func(fd int) { s, _ = state(fd) })
	return s
}

func (t *Terminal) Size() (s *mexecpb.Terminal) {
	t.control(func(fd int) { s = size(fd) })
	return s
}

// Gone says that the terminal was hung up.
func (t *Terminal) Gone() bool { return t.State() == nil }

// Set gives the terminal the settings that the job has given to its own.
func (t *Terminal) Set(s *mexecpb.Terminal) {
	t.control(func(fd int) {
		if now, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
			apply(now, s)
			t.changed = true
			unix.IoctlSetTermios(fd, unix.TCSETS, now)
		}
	})
}

// Restore gives the terminal the settings back that it had when it was opened: of a job that nobody lost, the settings stay as it has
// left them.
func (t *Terminal) Restore() {
	if t.changed {
		t.control(func(fd int) { unix.IoctlSetTermios(fd, unix.TCSETSW, &t.before) })
	}
}

// Flush discards what was typed and not read.
func (t *Terminal) Flush() {
	t.control(func(fd int) { unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) })
}

// Write writes all of b, which it changes, and nothing of another job between. After an error nobody is there to read. Where b was
// written before the job's last change of settings, which is already in force here, the terminal may have to write what it could not make itself: its output
// processing is then off for that moment, if may says that the caller could set it.
func (t *Terminal) Write(ctx context.Context, b []byte, may func() bool) error {
	select {
	case t.turn.held <- struct{}{}:
		defer func() { <-t.turn.held }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var now *unix.Termios
	t.control(func(fd int) { now, _ = unix.IoctlGetTermios(fd, unix.TCGETS) })
	switch {
	case now == nil:
	case now.Oflag&crlf == crlf && bare(b) && may():
		t.process(false)
		defer t.process(true)
	default:
		b = uncook(b, now.Oflag)
	}
	defer context.AfterFunc(ctx, func() { t.file.SetWriteDeadline(time.Unix(1, 0)) })()
	_, err := t.file.Write(b)
	return err
}

// process switches the terminal's output processing.
func (t *Terminal) process(on bool) {
	t.control(func(fd int) {
		if now, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
			now.Oflag &^= unix.OPOST
			if on {
				now.Oflag |= unix.OPOST
			}
			unix.IoctlSetTermios(fd, unix.TCSETS, now)
		}
	})
}

// Read waits for something typed and reads it, at most len(b) bytes, if may says so at that very moment. io.EOF is an end of file that
// was typed: more may follow. Another error than that, ErrPaused and the one of ctx says that the terminal is gone.
func (t *Terminal) Read(ctx context.Context, b []byte, may func() bool) (n int, err error) {
	if t.isPaused() {
		return 0, ErrPaused
	}
	defer context.AfterFunc(ctx, func() { t.file.SetReadDeadline(time.Unix(1, 0)) })()
	waitErr := t.conn.Read(func(fd uintptr) bool {
		// Without a look first, an empty terminal whose VMIN is 0 would seem to be at its end.
		if k, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0); k == 0 {
			return false
		}
		if !may() {
			err = ErrPaused
			return true
		}
		n, err = unix.Read(int(fd), b)
		return err != unix.EAGAIN
	})
	switch {
	case ctx.Err() != nil:
		return max(n, 0), ctx.Err()
	case errors.Is(waitErr, os.ErrDeadlineExceeded):
		return 0, ErrPaused
	case waitErr != nil:
		return 0, waitErr
	case errors.Is(err, unix.EINTR):
		return 0, ErrPaused
	case err != nil:
		return 0, err
	case n == 0 && t.Gone():
		return 0, unix.EIO
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (t *Terminal) isPaused() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.paused
}

// Pause ends a Read under way, and each until Resume.
func (t *Terminal) Pause() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused = true
	t.file.SetReadDeadline(time.Unix(1, 0))
}

// Resume lets Read read again.
func (t *Terminal) Resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused = false
	t.file.SetReadDeadline(time.Time{})
}

// Close lets go of the terminal.
func (t *Terminal) Close() {
	t.once.Do(func() {
		t.file.Close()
		t.screens.mu.Lock()
		defer t.screens.mu.Unlock()
		if t.turn.users--; t.turn.users == 0 {
			delete(t.screens.turns, t.key)
		}
	})
}
