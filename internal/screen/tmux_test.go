package screen

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mexec/internal/monitor"
	"mexec/internal/monitortest"
)

// These tests are at a real terminal, tmux's. A program that runs there does what a test tells it, and its time is the test's; what the
// screen then shows is compared with testdata.

var rewrite = flag.Bool("rewrite", false, "write what is on the screen into testdata")

func TestMain(m *testing.M) {
	if dir := os.Getenv("SCREEN_TEST_ACTOR"); dir != "" {
		act(dir)
		return
	}
	os.Exit(m.Run())
}

const build = `
0s cluster room=12 node1*:4 node2:4 node3:4
0.2s received 1 gcc -O2 -c alpha.c -o alpha.o
0.2s starts 1 node1 first free slot
0.2s received 2 gcc -O2 -c beta.c -o beta.o
0.2s starts 2 node2 first free slot
1.5s received 3 python3 généré.py 日本語 with a line that is longer than the terminal is wide, so that it has to be cut at its end
1.5s starts 3 node3 first free slot
1.8s ended 1
2.5s received 4 gcc -O2 -c gamma.c -o gamma.o
`

// act is the program in the terminal.
func act(dir string) {
	in, err := os.Open(filepath.Join(dir, "in"))
	if err != nil {
		panic(err)
	}
	out, err := os.OpenFile(filepath.Join(dir, "out"), os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	events, err := monitortest.Events(build)
	if err != nil {
		panic(err)
	}
	model := monitor.New(monitortest.Began, false)
	config := Config{File: os.Stderr, Getenv: os.Getenv, Lines: func(width, height int, now time.Time) []string {
		for len(events) > 0 && !events[0].At.After(now) {
			model.Fold(events[:1])
			events = events[1:]
		}
		return model.Lines("mpmake", width, height, monitor.Style{}, monitor.Expect{Commands: 10, Elapsed: 20 * time.Second}, now)
	}}
	s := newScreen(config, terminalOf(config), monitortest.Began)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		what, arg, _ := strings.Cut(lines.Text(), " ")
		answer := ""
		switch what {
		case "prints": // as some job
			text, err := strconv.Unquote(arg)
			if err != nil {
				panic(err)
			}
			os.Stdout.WriteString(text)
		case "at":
			d, err := time.ParseDuration(arg)
			if err != nil {
				panic(err)
			}
			s.step(monitortest.Began.Add(d))
		case "stty":
			cmd := exec.Command("stty", strings.Fields(arg)...)
			cmd.Stdin = os.Stdin
			if err := cmd.Run(); err != nil {
				panic(err)
			}
		case "row": // the terminal's own answer to a job that asks where the cursor is
			os.Stdout.WriteString("\x1b[6n")
			answer, _ = bufio.NewReader(os.Stdin).ReadString('R')
			answer = answer[strings.LastIndexByte(answer, '[')+1:]
		case "size":
			rows, cols := s.tty.size()
			answer = fmt.Sprintf("%dx%d", cols, rows)
		case "ends":
			s.hide()
		case "stops":
			s.hide()
			stop()
		case "dies":
			s.config.Lines = func(int, int, time.Time) []string { panic("on purpose") }
			s.quit, s.done = make(chan struct{}), make(chan struct{})
			s.began = time.Now().Add(-time.Hour)
			s.run()
		}
		fmt.Fprintln(out, answer)
	}
}

// actor is the test's end of it.
type actor struct {
	t      *testing.T
	name   string // of the tmux
	script *os.File
	answer *bufio.Reader
	golden string
	shown  strings.Builder
	want   []string // captures of the golden file that are still to come
}

const bar = "=== "

func play(t *testing.T, cols, rows int) *actor {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed")
	}
	dir := t.TempDir()
	a := &actor{t: t, name: fmt.Sprintf("screen-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-")),
		golden: filepath.Join("testdata", fmt.Sprintf("%s.txt", strings.ReplaceAll(strings.TrimPrefix(t.Name(), "Test"), "/", ".")))}
	text, _ := os.ReadFile(a.golden)
	a.want = strings.Split(string(text), bar)[min(1, strings.Count(string(text), bar)):]
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, []byte("set -g status off\nset -g default-terminal screen-256color\nset -g remain-on-exit on\nset -g history-limit 5000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"in", "out"} {
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a.tmux("-f", conf, "new-session", "-d", "-x", strconv.Itoa(cols), "-y", strconv.Itoa(rows),
		"env", "SCREEN_TEST_ACTOR="+dir, os.Args[0])
	t.Cleanup(func() { exec.Command("tmux", "-L", a.name, "kill-server").Run() })
	var err error
	if a.script, err = os.OpenFile(filepath.Join(dir, "in"), os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.script.Close() })
	out, err := os.Open(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	a.answer = bufio.NewReader(out)
	return a
}

func (a *actor) tmux(args ...string) string {
	a.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-u", "-L", a.name}, args...)...)
	cmd.Env = append(os.Environ(), "TMUX=", "LC_ALL=C.UTF-8")
	b, err := cmd.CombinedOutput()
	if err != nil {
		a.t.Fatalf("%q: %v: %s", args, err, b)
	}
	return string(b)
}

// does has the program do one thing.
func (a *actor) does(format string, args ...any) string {
	a.t.Helper()
	if _, err := fmt.Fprintf(a.script, format+"\n", args...); err != nil {
		a.t.Fatal(err)
	}
	line, err := a.answer.ReadString('\n')
	if err != nil {
		a.t.Fatalf("%s: %v; the screen shows\n%s", fmt.Sprintf(format, args...), err, a.screen())
	}
	return strings.TrimSpace(line)
}

// resize makes the terminal another size, and waits until the program knows.
func (a *actor) resize(cols, rows int) {
	a.t.Helper()
	a.tmux("resize-window", "-x", strconv.Itoa(cols), "-y", strconv.Itoa(rows))
	for deadline := time.Now().Add(10 * time.Second); a.does("size") != fmt.Sprintf("%dx%d", cols, rows); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			a.t.Fatal("the program does not see the new size")
		}
	}
}

// prints prints lines.
func (a *actor) prints(from, to int) {
	a.t.Helper()
	var text strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&text, "output %d\n", i)
	}
	a.does("prints %q", text.String())
}

func (a *actor) screen() string {
	a.t.Helper()
	return strings.TrimRight(a.tmux("capture-pane", "-p"), "\n") + "\n"
}

// shows compares the screen with the next capture of the golden file.
func (a *actor) shows(when string) {
	a.t.Helper()
	want, wants := "", len(a.want) > 0
	if wants {
		_, want, _ = strings.Cut(a.want[0], "\n")
		a.want = a.want[1:]
	}
	got := ""
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		last := got
		got = a.screen()
		if got == want || *rewrite && got == last || time.Now().After(deadline) {
			break
		}
	}
	fmt.Fprintf(&a.shown, "%s%s\n%s", bar, when, got)
	if *rewrite {
		if err := os.WriteFile(a.golden, []byte(a.shown.String()), 0o644); err != nil {
			a.t.Fatal(err)
		}
	} else if got != want {
		a.t.Fatalf("%s it shows\n%s\nand not\n%s", when, got, want)
	}
}

// complete fails the test unless all lines of output are there in their order, each once, and nothing else: here and in what has scrolled away.
func (a *actor) complete(to int) {
	a.t.Helper()
	var want strings.Builder
	for i := 1; i <= to; i++ {
		fmt.Fprintf(&want, "output %d\n", i)
	}
	got := ""
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if got = strings.TrimRight(a.tmux("capture-pane", "-p", "-S", "-"), "\n") + "\n"; got == want.String() {
			return
		}
	}
	a.t.Errorf("in the end there is\n%s", got)
}

var sizes = map[string][2]int{"80x24": {80, 24}, "200x50": {200, 50}}

func atEachSize(t *testing.T, f func(t *testing.T, cols, rows int)) {
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) { f(t, size[0], size[1]) })
	}
}

func TestOutputScrollsAboveTheBlockAndIsWholeInTheEnd(t *testing.T) {
	atEachSize(t, func(t *testing.T, cols, rows int) {
		a := play(t, cols, rows)
		a.prints(1, rows+10)
		a.does("at 0.9s")
		a.shows("in the first second")
		a.does("at 1s")
		a.shows("after it")
		a.prints(rows+11, rows+13)
		a.does("at 2s")
		a.shows("a second later")
		a.does(`prints "output %d"`, rows+14) // no newline yet
		a.does("at 3s")
		a.shows("behind a line that is not complete")
		a.does(`prints "\n"`)
		a.prints(rows+15, rows+80)
		a.does("at 3.2s")
		a.shows("after a lot")
		a.does("ends")
		a.shows("in the end")
		a.complete(rows + 80)
	})
}

func TestOnAnEmptyScreenOutputBeginsAtTheTop(t *testing.T) {
	atEachSize(t, func(t *testing.T, cols, rows int) {
		a := play(t, cols, rows)
		a.does("at 2s")
		a.prints(1, 3)
		a.does("at 3s")
		a.shows("with the block")
		a.does("ends")
		a.shows("in the end")
		a.complete(3)
	})
}
