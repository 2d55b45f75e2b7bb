// Package screen keeps a few lines at the bottom of a terminal while other processes write to it.
//
// Their output does not come by here: it goes to the terminal as if we were not there, so that colours, isatty and job control are as ever. A scroll
// region keeps it off our lines, and each of ours is one write. What this can't be exact about is the terminal's own memory: there is one
// place to save a cursor, and a program that saves one while we draw finds ours.
//
// The lines are shown only where they do no harm: when the build has lasted a second, while this process is in the foreground, and nobody has
// the terminal raw (a full-screen program) or silent (a password). Close gives the whole terminal back, and so do Ctrl-Z, a panic of ours and SIGKILL (heir.go). The other signals
// that end a process are the caller's, who closes.
// Where there is no such terminal, one line is printed now and then instead.
package screen

import (
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"mexec/internal/pulse"
)

const (
	patience  = time.Second            // a build that is shorter is not worth a flicker
	often     = 200 * time.Millisecond // between looks
	heals     = time.Second            // between drawings of everything, after a job may have cleared the screen
	rarely    = 30 * time.Second       // between lines where there is no terminal
	leastRows = 10                     // of a terminal that has room for us
)

// Config says what to show and where.
type Config struct {
	File   *os.File // usually standard error
	Getenv func(string) string
	Lines  func(width, height int, now time.Time) []string // at most a third of the height
	Line   func(now time.Time) string
}

// Screen shows a Config until it is closed.
type Screen struct {
	config Config
	tty    tty
	began  time.Time
	block  block
	healed time.Time // when all was drawn last
	said   time.Time // when Line was printed last
	quit   chan struct{}
	done   chan struct{}
}

// Open begins to show.
func Open(c Config) *Screen {
	s := newScreen(c, terminalOf(c), time.Now())
	s.quit, s.done = make(chan struct{}), make(chan struct{})
	go s.run()
	return s
}

func newScreen(c Config, t tty, now time.Time) *Screen {
	return &Screen{config: c, tty: t, began: now, said: now}
}

// Close takes away what is shown, and returns when it is gone.
func (s *Screen) Close() {
	close(s.quit)
	<-s.done
}

func (s *Screen) run() {
	defer close(s.done)
	if s.tty != nil {
		defer s.tty.close()
	}
	defer s.hide() // also when we panic
	changes, stops := make(chan os.Signal, 1), make(chan os.Signal, 1)
	if s.tty != nil {
		signal.Notify(changes, syscall.SIGWINCH, syscall.SIGCONT)
		defer signal.Stop(changes)
		if !signal.Ignored(syscall.SIGTSTP) { // what was ignored for us must stay so for the tool
			signal.Notify(stops, syscall.SIGTSTP)
			defer signal.Stop(stops)
		}
	}
	pace := often
	if s.tty == nil {
		pace = time.Second
	}
	tick := pulse.Every(pace)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-stops:
			s.hide()
			stop()
		case <-changes:
			s.step(time.Now())
		case <-tick.C:
			s.step(time.Now())
			tick.Again()
		}
	}
}

// step looks at the terminal and brings it up to date. The order of its questions is that of their force.
func (s *Screen) step(now time.Time) {
	if s.tty == nil {
		if now.Sub(s.said) >= rarely {
			s.said = now
			s.config.File.WriteString(s.config.Line(now) + "\n")
		}
		return
	}
	rows, cols := s.tty.size()
	switch s.tty.use() {
	case elsewhere:
		s.hide()
	case fullScreen:
		s.tty.write(s.block.yield())
		s.tty.inherits(nil)
	case prompt, mute: // our lines stay as they are
	case free:
		if now.Sub(s.began) < patience {
			return
		}
		if rows < leastRows || cols < 20 {
			s.hide()
			return
		}
		heal := now.Sub(s.healed) >= heals
		out := s.block.draw(rows, cols, s.config.Lines(cols, rows, now), heal)
		if heal {
			s.healed = now
		}
		s.tty.write(out)
		drawn := s.block
		s.tty.inherits(drawn.erase(rows, cols))
	}
}

// hide takes our lines away.
func (s *Screen) hide() {
	if s.tty == nil || !s.block.there() || s.tty.use() == mute {
		return
	}
	s.tty.write(s.block.erase(s.tty.size()))
	s.tty.inherits(nil)
}

// Shows says what a terminal with this environment can show: characters outside ASCII, colours.
func Shows(getenv func(string) string) (utf8, color bool) {
	locale := getenv("LC_ALL")
	for _, name := range []string{"LC_CTYPE", "LANG"} {
		if locale == "" {
			locale = getenv(name)
		}
	}
	locale = strings.ToLower(locale)
	utf8 = strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
	return utf8, getenv("NO_COLOR") == ""
}
