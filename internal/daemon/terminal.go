package daemon

import (
	"context"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"mexec/internal/relay"
	"mexec/internal/wire"
	"mexec/internal/wire/mexecpb"
)

// Both sides of a job's terminal: at home the screen and the keyboard of the caller's, on the worker the desk, where the job has its own.

// screen is the caller's terminal and a job that shows on it.
type screen struct {
	*relay.Terminal
	r      *remote
	device uint32
	lost   bool // nobody looks any more

	asks chan int
	wake chan struct{} // the caller may be in the foreground again
	stop context.CancelFunc
	keys sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	put     *mexecpb.Terminal // settings of the job's that wait until the caller is in the foreground
}

// openScreen finds the terminal among the caller's descriptors and adds it to Start. Of two different ones the job gets that which controls its
// caller, and the other as a stream.
func (r *remote) openScreen(st *mexecpb.Start) {
	var s *screen
	controlled := false
	for pass := range 2 {
		for n, kind := range st.Stdio {
			if kind != mexecpb.Stdio_STDIO_TERMINAL || s != nil {
				continue
			}
			device, ok := relay.Device(r.fds[n])
			if controlled, _ = relay.Standing(int(r.cred.PID), device); ok && (controlled || pass == 1) {
				if t := r.d.screens.Open(r.fds[n]); t != nil {
					s = &screen{Terminal: t, r: r, device: device}
				}
			}
		}
	}
	for n, kind := range st.Stdio {
		if kind == mexecpb.Stdio_STDIO_TERMINAL {
			if device, _ := relay.Device(r.fds[n]); s == nil || device != s.device {
				st.Stdio[n] = mexecpb.Stdio_STDIO_STREAM
			}
		}
	}
	if s == nil {
		return
	}
	if st.Terminal = s.State(); st.Terminal == nil { // hung up by now: the job is to find out by itself
		st.Terminal = &mexecpb.Terminal{}
	}
	st.Terminal.Background = !s.foreground()
	stdin := st.Stdio[0] == mexecpb.Stdio_STDIO_TERMINAL
	driven := r.exec.Flags&wire.Driver != 0
	st.Keyboard = stdin || controlled && !driven && r.exec.Flags&wire.NoStdin == 0
	st.WholeLines = driven || !stdin
	r.screen = s
	s.asks, s.wake = make(chan int, 1), make(chan struct{}, 1)
	var ctx context.Context
	ctx, s.stop = context.WithCancel(r.ctx)
	if st.Keyboard {
		s.keys.Go(func() { s.keyboard(ctx) })
	}
}

func (s *screen) foreground() bool {
	_, fg := relay.Standing(int(s.r.cred.PID), s.device)
	return fg
}

// obey does to the caller's terminal what the job has done to its own.
func (s *screen) obey(down *mexecpb.Down) {
	if len(down.Screen) > 0 && !s.lost {
		if err := s.Write(s.r.ctx, down.Screen, s.foreground); err != nil && s.r.ctx.Err() == nil {
			s.hangup()
		}
	}
	if down.Terminal != nil {
		s.set(down.Terminal)
	}
	if down.Flush && s.foreground() {
		s.Flush()
	}
	if down.Ask > 0 {
		select {
		case s.asks <- int(down.Ask):
		default: // it has not had its answer yet
		}
	}
	if down.Stopped != 0 {
		s.mu.Lock()
		s.stopped = true
		s.Pause()
		s.mu.Unlock()
	}
}

func (s *screen) hangup() {
	s.lost = true
	s.r.send(&mexecpb.Up{Hangup: true})
}

// set sets the caller's terminal as the job has set its own. A program in the background would be stopped for that: so is the job.
func (s *screen) set(t *mexecpb.Terminal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.put = nil; s.foreground() {
		s.Set(t)
		return
	}
	s.put = t
	s.r.send(groupSignal(syscall.SIGTTOU))
}

func groupSignal(n syscall.Signal) *mexecpb.Up {
	return &mexecpb.Up{Signal: &mexecpb.Signal{Number: uint32(n), Group: true}}
}

// up passes on what came of the stub. A change of size is told as such; who goes on after a stop finds the terminal as the shell has left it.
func (s *screen) up(up *mexecpb.Up) error {
	switch n := syscall.Signal(up.Signal.Number); {
	case n == syscall.SIGWINCH && up.Signal.Group:
		return s.r.send(&mexecpb.Up{Terminal: s.Size()})
	case n == syscall.SIGCONT:
		return s.goOn(up)
	}
	return s.r.send(up)
}

func (s *screen) goOn(up *mexecpb.Up) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fg := s.foreground()
	switch {
	case s.put != nil && fg:
		s.Set(s.put)
		s.put = nil
	case s.stopped && s.put == nil:
		if now := s.State(); now != nil {
			now.Background = !fg
			s.r.send(&mexecpb.Up{Terminal: now})
		}
	}
	if s.stopped { // a shell's fg continues the group by kill(2), which the stub takes for one of itself alone
		up.Signal.Group = true
	}
	s.stopped = false
	err := s.r.send(up)
	if s.put != nil {
		s.r.send(groupSignal(syscall.SIGTTOU))
	}
	s.Resume()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return err
}

// keyboard answers what the job asks for, while the caller is in the foreground: what is typed else is the shell's. Who asks in the
// background is stopped, as the terminal would do it.
func (s *screen) keyboard(ctx context.Context) {
	buf := make([]byte, relay.Page)
	for {
		var asked int
		select {
		case asked = <-s.asks:
		case <-ctx.Done():
			return
		}
		up := (*mexecpb.Up)(nil)
		for told := false; up == nil; {
			var n int
			err := relay.ErrPaused
			fg := s.foreground()
			if fg {
				n, err = s.Read(ctx, buf[:min(asked, len(buf))], s.foreground)
			} else if !told && !s.isStopped() {
				s.r.send(groupSignal(syscall.SIGTTIN))
				told = true
			}
			switch {
			case n > 0:
				up = &mexecpb.Up{Typed: buf[:n]}
			case errors.Is(err, io.EOF):
				up = &mexecpb.Up{TypedEof: true}
			case ctx.Err() != nil:
				return
			case errors.Is(err, relay.ErrPaused):
				select {
				case <-s.wake:
					told = false
				case <-time.After(again):
				case <-ctx.Done():
					return
				}
			default: // the terminal is gone. The signal that says so to the caller and its program goes first, as it would here
				select {
				case <-time.After(again):
					s.r.send(&mexecpb.Up{Hangup: true})
				case <-ctx.Done():
				}
				return
			}
		}
		if s.r.send(up) != nil {
			return
		}
	}
}

// again is when a caller in the background is looked at again. Most come back with SIGCONT, but a shell need not send one.
const again = 200 * time.Millisecond

func (s *screen) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// restore undoes what a job that we lost has done to the terminal.
func (s *screen) restore() {
	if s.foreground() {
		s.Restore()
	}
}

func (s *screen) close() {
	s.stop()
	s.keys.Wait()
	s.Close()
}

// desk is a job's own terminal on the worker.
type desk struct {
	*relay.Pty
	keyboard bool
	typed    chan struct{}
	stop     context.CancelFunc
	asking   sync.WaitGroup
}

func newDesk(start *mexecpb.Start) (*desk, error) {
	if start.Terminal == nil {
		return nil, errors.New("start: a terminal that is not described")
	}
	p, err := relay.NewPty(start.Terminal, start.Uid, start.WholeLines)
	if err != nil {
		return nil, err
	}
	return &desk{Pty: p, keyboard: start.Keyboard, typed: make(chan struct{}, 1)}, nil
}

// begin serves the terminal of a job that runs as a process. Its output ends with output, its input with leave.
func (k *desk) begin(pids func() []int, output *sync.WaitGroup, send func(*mexecpb.Down) error) {
	var ctx context.Context
	ctx, k.stop = context.WithCancel(context.Background())
	output.Go(func() { k.Serve(send) })
	if k.keyboard {
		k.asking.Go(func() {
			k.Ask(ctx, pids, k.typed, func(n int) { send(&mexecpb.Down{Ask: uint32(n)}) })
		})
	}
}

// hear takes what concerns the terminal. false: up is about something else.
func (k *desk) hear(up *mexecpb.Up) bool {
	switch {
	case up.Signal != nil && up.Signal.Group:
		return k.Signal(syscall.Signal(up.Signal.Number))
	case up.Terminal != nil:
		k.Set(up.Terminal)
	case up.Hangup:
		k.Hangup()
	case len(up.Typed) > 0 || up.TypedEof:
		k.Type(up.Typed, up.TypedEof)
		select {
		case k.typed <- struct{}{}:
		default:
		}
	default:
		return false
	}
	return true
}

// leave ends the input: the job's process has ended.
func (k *desk) leave() {
	k.stop()
	k.asking.Wait()
	k.Finish()
}
