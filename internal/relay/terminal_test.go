package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mexec/internal/wire/mexecpb"
)

// person makes the terminal of a person: what the person sees and types, and the end that programs have.
func person(t *testing.T) (outer, slave *os.File) {
	t.Helper()
	outer, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.IoctlSetPointerInt(int(outer.Fd()), unix.TIOCSPTLCK, 0)
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, outer.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal(errno)
	}
	slave = os.NewFile(fd, "slave")
	t.Cleanup(func() { outer.Close(); slave.Close() })
	return outer, slave
}

func settings(t *testing.T, f *os.File) *unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func set(t *testing.T, f *os.File, change func(*unix.Termios)) {
	t.Helper()
	s := settings(t, f)
	change(s)
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, s); err != nil {
		t.Fatal(err)
	}
}

// reads reads until so much has come.
func reads(t *testing.T, f *os.File, n int) string {
	t.Helper()
	b := make([]byte, n)
	late := time.AfterFunc(20*time.Second, func() { f.Close() })
	defer late.Stop()
	k, err := io.ReadFull(f, b)
	if err != nil {
		t.Fatalf("%q, then %v", b[:k], err)
	}
	return string(b)
}

func TestWhatAPtyHasCookedComesOutOfAnotherTerminalUnchanged(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, flags := range []uint32{unix.OPOST | unix.ONLCR, unix.OPOST, unix.ONLCR, 0} {
		outer, slave := person(t)
		set(t, slave, func(s *unix.Termios) { s.Oflag = flags })
		screens := new(Screens)
		term := screens.Open(int(slave.Fd()))
		defer term.Close()
		for range 200 {
			var want []byte
			for range 1 + rng.IntN(12) {
				want = append(want, []string{"\r\n", "\r", "x", "yz", "\r\r\n", "\r\n\r\n"}[rng.IntN(6)]...)
			}
			if rng.IntN(3) == 0 { // of a raw one, and late
				want = append(want, "\n\n\r\n\n"...)
			}
			if err := term.Write(t.Context(), bytes.Clone(want), func() bool { return true }); err != nil {
				t.Fatal(err)
			}
			if got := reads(t, outer, len(want)); got != string(want) {
				t.Fatalf("flags %#o: %q came out for %q", flags, got, want)
			}
			if now := settings(t, slave).Oflag; now != flags {
				t.Fatalf("flags %#o are %#o after a write", flags, now)
			}
		}
	}
}

// desk is a Pty that is served, and what it has sent.
type desk struct {
	*Pty
	mu   sync.Mutex
	sent []string // output as it is, else what kind it is
	news chan struct{}
	over chan struct{}
}

func newDesk(t *testing.T, wholeLines bool) *desk {
	t.Helper()
	_, slave := person(t)
	like, err := state(int(slave.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	like.Rows, like.Columns = 33, 77
	p, err := NewPty(like, uint32(os.Getuid()), wholeLines)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{Pty: p, news: make(chan struct{}, 1000), over: make(chan struct{})}
	go func() {
		defer close(d.over)
		p.Serve(d.take)
	}()
	t.Cleanup(func() {
		p.Finish()
		<-d.over
		p.Close()
	})
	return d
}

func (d *desk) take(down *mexecpb.Down) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case len(down.Screen) > 0:
		d.sent = append(d.sent, string(down.Screen))
	case down.Terminal != nil && down.Terminal.Lflag&unix.ICANON == 0:
		d.sent = append(d.sent, "raw")
	case down.Terminal != nil:
		d.sent = append(d.sent, "cooked")
	case down.Flush:
		d.sent = append(d.sent, "flush")
	}
	d.news <- struct{}{}
	return nil
}

// has waits until all that was sent is this.
func (d *desk) has(t *testing.T, want ...string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		d.mu.Lock()
		got := strings.Join(d.sent, "|")
		d.mu.Unlock()
		if got == strings.Join(want, "|") {
			return
		}
		select {
		case <-d.news:
		case <-late:
			t.Fatalf("sent %q, want %q", got, want)
		}
	}
}

func TestAPtyTellsItsSettingsBeforeWhatFollowsThem(t *testing.T) {
	d := newDesk(t, false)
	io.WriteString(d.Slave, "a\n")
	d.has(t, "a\r\n")
	set(t, d.Slave, func(s *unix.Termios) { s.Lflag &^= unix.ICANON; s.Oflag &^= unix.OPOST })
	io.WriteString(d.Slave, "b\n")
	d.has(t, "a\r\n", "raw", "b\n")
	// A program that has made its settings from nothing does not end the mirror.
	set(t, d.Slave, func(s *unix.Termios) { s.Lflag = unix.ICANON; s.Oflag = 0 })
	d.has(t, "a\r\n", "raw", "b\n", "cooked")
	for deadline := time.Now().Add(20 * time.Second); settings(t, d.Slave).Lflag&unix.EXTPROC == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the mirror is off")
		}
	}
	set(t, d.Slave, func(s *unix.Termios) {}) // no change is no news
	unix.IoctlSetInt(int(d.Slave.Fd()), unix.TCFLSH, unix.TCIFLUSH)
	io.WriteString(d.Slave, "c")
	d.has(t, "a\r\n", "raw", "b\n", "cooked", "flush", "c")
}

func TestAPtyCooksNothingOfWhatIsTyped(t *testing.T) {
	d := newDesk(t, false)
	if w, _ := unix.IoctlGetWinsize(int(d.Slave.Fd()), unix.TIOCGWINSZ); w.Row != 33 || w.Col != 77 {
		t.Errorf("size %+v", w)
	}
	d.Type([]byte("x\x03\x7f\x1a\n"), false)
	if got := reads(t, d.Slave, 5); got != "x\x03\x7f\x1a\n" {
		t.Errorf("%q", got)
	}
	b := make([]byte, 10)
	d.Type(nil, true)
	if n, err := d.Slave.Read(b); n != 0 || err != io.EOF {
		t.Errorf("at the end of file: %d, %v", n, err)
	}
	d.Type([]byte("more"), false)
	if got := reads(t, d.Slave, 4); got != "more" {
		t.Errorf("%q", got)
	}
	io.WriteString(d.Slave, "end")
	d.has(t, "end") // nothing was echoed
}

func TestAPtySendsWholeLinesWhereSeveralJobsShareATerminal(t *testing.T) {
	d := newDesk(t, true)
	for _, s := range []string{"one\ntw", "o", "\nthr", "ee\n"} {
		io.WriteString(d.Slave, s)
	}
	io.WriteString(d.Slave, "prompt: ")
	late := time.After(20 * time.Second)
	for {
		d.mu.Lock()
		sent := append([]string{}, d.sent...)
		d.mu.Unlock()
		if strings.Join(sent, "") == "one\r\ntwo\r\nthree\r\nprompt: " {
			for _, s := range sent[:len(sent)-1] {
				if !strings.HasSuffix(s, "\n") && s != sent[len(sent)-1] {
					t.Errorf("a torn line: %q", sent)
				}
			}
			break
		}
		select {
		case <-d.news:
		case <-late:
			t.Fatalf("%q", sent)
		}
	}
}

func TestAStopIsToldAfterAllThatWasWrittenBeforeIt(t *testing.T) {
	d := newDesk(t, true)
	io.WriteString(d.Slave, strings.Repeat("x", 3000))
	d.After(func() { d.take(&mexecpb.Down{Flush: true}) })
	late := time.After(20 * time.Second)
	for {
		d.mu.Lock()
		got := strings.Join(d.sent, "") // in as many pieces as it was read
		d.mu.Unlock()
		if got == strings.Repeat("x", 3000)+"flush" {
			return
		}
		select {
		case <-d.news:
		case <-late:
			t.Fatalf("sent %d bytes, ending in %q", len(got), got[max(0, len(got)-10):])
		}
	}
}

// Nobody here is seen to read, and the terminal is raw. It is the job's wish to get keys only if the job has made it so, or was started in the
// foreground.
func TestWhoHasMadeTheTerminalRawGetsKeysEvenIfItIsNotSeenToRead(t *testing.T) {
	raw := func(background bool) *mexecpb.Terminal {
		_, slave := person(t)
		set(t, slave, func(s *unix.Termios) { s.Lflag &^= unix.ICANON })
		like, err := state(int(slave.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		like.Background = background
		return like
	}
	nobody := func() []int { return nil }
	d := newDesk(t, false)
	for _, step := range []struct {
		what string
		do   func()
		want int
	}{
		{"cooked", func() {}, 0},
		{"raw by a shell, while the job goes on in the background", func() { d.Set(raw(true)) }, 0},
		{"raw by the job", func() {
			set(t, d.Slave, func(s *unix.Termios) { s.Iflag ^= unix.IXON })
			d.has(t, "raw")
		}, Page},
		{"raw by a shell once more", func() { d.Set(raw(true)) }, 0},
		{"raw in the foreground", func() { d.Set(raw(false)) }, Page},
	} {
		step.do()
		if n := d.wanted(nobody, true); n != step.want {
			t.Errorf("%s: %d bytes, want %d", step.what, n, step.want)
		}
	}
}

func TestATerminalIsReadOnlyWhileItMayBeAndItsEndOfFileIsNotItsEnd(t *testing.T) {
	outer, slave := person(t)
	term := new(Screens).Open(int(slave.Fd()))
	defer term.Close()
	b := make([]byte, 100)
	yes := func() bool { return true }
	io.WriteString(outer, "mine\n")
	if n, err := term.Read(t.Context(), b, func() bool { return false }); n != 0 || !errors.Is(err, ErrPaused) {
		t.Errorf("in the background: %d, %v", n, err)
	}
	if n, err := term.Read(t.Context(), b, yes); string(b[:n]) != "mine\n" || err != nil {
		t.Errorf("%q, %v", b[:n], err)
	}
	io.WriteString(outer, "\x04next\n")
	if n, err := term.Read(t.Context(), b, yes); n != 0 || err != io.EOF {
		t.Errorf("%q, %v", b[:n], err)
	}
	if n, err := term.Read(t.Context(), b, yes); string(b[:n]) != "next\n" || err != nil {
		t.Errorf("%q, %v", b[:n], err)
	}
	// Raw and never waiting, nothing typed is no end of file.
	set(t, slave, func(s *unix.Termios) {
		s.Lflag &^= unix.ICANON
		s.Cc[unix.VMIN], s.Cc[unix.VTIME] = 0, 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if n, err := term.Read(ctx, b, yes); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
	term.Resume()
	term.Pause()
	if _, err := term.Read(t.Context(), b, yes); !errors.Is(err, ErrPaused) {
		t.Errorf("paused: %v", err)
	}
	term.Resume()
	outer.Close()
	if _, err := term.Read(t.Context(), b, yes); err == nil || errors.Is(err, io.EOF) || errors.Is(err, ErrPaused) {
		t.Errorf("hung up: %v", err)
	}
}

func TestALostJobsSettingsAreTakenBack(t *testing.T) {
	_, slave := person(t)
	before := settings(t, slave)
	term := new(Screens).Open(int(slave.Fd()))
	defer term.Close()
	raw := term.State()
	raw.Lflag &^= unix.ICANON | unix.ECHO
	raw.Lflag |= unix.EXTPROC // the mirror's own, not for the caller's terminal
	term.Set(raw)
	if s := settings(t, slave); s.Lflag != before.Lflag&^(unix.ICANON|unix.ECHO) {
		t.Errorf("local flags %#o of %#o", s.Lflag, before.Lflag)
	}
	term.Restore()
	if s := settings(t, slave); *s != *before {
		t.Errorf("%+v, before %+v", s, before)
	}
}
