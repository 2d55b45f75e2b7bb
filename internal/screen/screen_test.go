package screen

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// paper is a terminal that remembers what it was told.
type paper struct {
	rows, cols int
	used       use
	writes     []string
	will       string
}

func (p *paper) size() (int, int) { return p.rows, p.cols }
func (p *paper) use() use         { return p.used }
func (p *paper) write(b []byte) {
	if len(b) > 0 {
		p.writes = append(p.writes, string(b))
	}
}

func (p *paper) inherits(b []byte) { p.will = string(b) }
func (p *paper) close()            {}

func onPaper(lines func() []string) (*paper, *Screen, func(at time.Duration) []string) {
	p := &paper{rows: 24, cols: 80}
	began := time.Unix(0, 0)
	s := newScreen(Config{Lines: func(int, int, time.Time) []string { return lines() }}, p, began)
	return p, s, func(at time.Duration) []string {
		p.writes = nil
		s.step(began.Add(at))
		return p.writes
	}
}

func TestNothingIsWrittenWhereNothingHasChanged(t *testing.T) {
	lines := []string{"one", "two"}
	_, s, step := onPaper(func() []string { return lines })
	if w := step(999 * time.Millisecond); w != nil {
		t.Errorf("in the first second: %q", w)
	}
	if w := step(time.Second); len(w) != 1 || !strings.Contains(w[0], "\x1b[1;22r") {
		t.Errorf("then: %q", w)
	}
	if w := step(1200 * time.Millisecond); w != nil {
		t.Errorf("nothing new: %q", w)
	}
	lines = []string{"one", "three"}
	if w := step(1400 * time.Millisecond); len(w) != 1 || strings.Contains(w[0], "one") || !strings.Contains(w[0], "\x1b[24;1H\x1b[m\x1b[2Kthree") {
		t.Errorf("one line is new: %q", w)
	}
	s.hide()
	s.hide()
	if p := s.tty.(*paper); len(p.writes) != 2 {
		t.Errorf("hidden: %q", p.writes)
	}
}

func TestInTheBackgroundThereIsNoBlock(t *testing.T) {
	p, s, step := onPaper(func() []string { return []string{"one", "two"} })
	p.used = elsewhere
	if w := step(2 * time.Second); w != nil {
		t.Errorf("%q", w)
	}
	p.used = free
	step(3 * time.Second)
	p.used = elsewhere
	if w := step(4 * time.Second); len(w) != 1 || !strings.Contains(w[0], whole) {
		t.Errorf("when it goes there: %q", w)
	}
	p.used = free
	step(5 * time.Second)
	p.used = mute // a write would stop us
	p.writes = nil
	step(6 * time.Second)
	s.hide()
	if p.writes != nil {
		t.Errorf("where writing stops: %q", p.writes)
	}
}

// A kill leaves the terminal as the end of the build would.
func TestTheHeirKnowsWhatThereIsToTakeAway(t *testing.T) {
	p, s, step := onPaper(func() []string { return []string{"one", "two"} })
	const away = save + whole + "\x1b[23;1H\x1b[m" + below + restore
	step(time.Second)
	if p.will != away {
		t.Errorf("with a block: %q", p.will)
	}
	p.used = fullScreen
	if step(2 * time.Second); p.will != "" {
		t.Errorf("where a program has the screen: %q", p.will)
	}
	p.used = free
	step(3 * time.Second)
	if s.hide(); p.will != "" || p.writes[len(p.writes)-1] != away {
		t.Errorf("without one: %q; %q", p.will, p.writes)
	}
}

// A write that is too long for the terminal's buffer waits in the middle, and then what is typed is echoed there.
func TestABlockFitsIntoOneWrite(t *testing.T) {
	lines := make([]string, 13)
	for i := range lines {
		lines[i] = strings.Repeat("█", 200)
	}
	p, _, step := onPaper(func() []string { return lines })
	p.rows, p.cols = 50, 200
	if w := step(time.Second); len(w) != 1 || len(w[0]) > 16<<10 {
		t.Errorf("%d writes, the first has %d bytes", len(w), len(w[0]))
	}
}

func TestWhereThereIsNoTerminalALineIsPrintedNowAndThen(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	began := time.Unix(0, 0)
	config := Config{File: w, Getenv: func(string) string { return "xterm" }, Line: func(now time.Time) string { return fmt.Sprint("after ", now.Sub(began)) }}
	if terminalOf(config) != nil {
		t.Error("a pipe is taken for a terminal")
	}
	s := newScreen(config, nil, began)
	for at := time.Duration(0); at < 70*time.Second; at += 200 * time.Millisecond {
		s.step(began.Add(at))
	}
	s.hide()
	w.Close()
	b := make([]byte, 1000)
	n, _ := r.Read(b)
	if string(b[:n]) != "after 30s\nafter 1m0s\n" {
		t.Errorf("%q", b[:n])
	}
}

func TestWhatATerminalShowsIsSaidByItsEnvironment(t *testing.T) {
	for _, c := range []struct {
		environ     map[string]string
		utf8, color bool
	}{
		{nil, false, true},
		{map[string]string{"LANG": "de_DE.UTF-8"}, true, true},
		{map[string]string{"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, false, true},
		{map[string]string{"LC_CTYPE": "C.utf8", "NO_COLOR": "1"}, true, false},
	} {
		utf8, color := Shows(func(name string) string { return c.environ[name] })
		if utf8 != c.utf8 || color != c.color {
			t.Errorf("%v: %v, %v", c.environ, utf8, color)
		}
	}
}
