package system_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mexec/test/hosts"
)

// Terminals: who sits at one cannot tell where the command runs.

// person sits at a terminal.
type person struct {
	t        *testing.T
	keyboard *os.File
	cmd      *exec.Cmd
	over     chan struct{} // closed when the terminal has nobody any more

	mu     sync.Mutex
	screen []byte
	mark   int // what is before it was seen
	news   chan struct{}
}

// sit starts a command on a host at a terminal of 30 lines of 90.
func sit(t *testing.T, h *hosts.Host, name string, args ...string) *person {
	t.Helper()
	p := &person{t: t, cmd: h.Command(name, args...), news: make(chan struct{}, 1), over: make(chan struct{})}
	p.cmd.Env = append(p.cmd.Env, "PS1=$ ", "TERM=dumb")
	p.keyboard = terminal(t, p.cmd)
	p.resize(30, 90)
	go func() {
		defer close(p.over)
		b := make([]byte, 1<<16)
		for {
			n, err := p.keyboard.Read(b)
			p.mu.Lock()
			p.screen = append(p.screen, b[:n]...)
			p.mu.Unlock()
			select {
			case p.news <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	return p
}

// shell sits down at an interactive shell.
func shell(t *testing.T, h *hosts.Host) *person {
	t.Helper()
	p := sit(t, h, "bash", "--norc", "-i")
	p.sees("$ ")
	return p
}

func (p *person) resize(rows, columns uint16) {
	unix.IoctlSetWinsize(int(p.keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
}

func (p *person) types(text string) {
	p.t.Helper()
	if _, err := p.keyboard.WriteString(text); err != nil {
		p.t.Fatal(err)
	}
}

// sees waits until the words are on the screen, one after the other, and returns what came before the end of the last.
func (p *person) sees(words ...string) string {
	p.t.Helper()
	late := time.After(20 * time.Second)
	seen := ""
	for _, w := range words {
		for {
			p.mu.Lock()
			at := bytes.Index(p.screen[p.mark:], []byte(w))
			if at >= 0 {
				seen += string(p.screen[p.mark : p.mark+at+len(w)])
				p.mark += at + len(w)
			}
			rest := string(p.screen[p.mark:])
			p.mu.Unlock()
			if at >= 0 {
				break
			}
			select {
			case <-p.news:
			case <-late:
				p.t.Fatalf("waits for %q and sees %q", w, rest)
			}
		}
	}
	return seen
}

// all waits for the end and returns all that was on the screen.
func (p *person) all() string {
	p.t.Helper()
	select {
	case <-p.over:
	case <-time.After(20 * time.Second):
		p.t.Fatalf("not over: %q", p.screen)
	}
	return string(p.screen)
}

// settings are those of the terminal.
func (p *person) settings() unix.Termios {
	s, err := unix.IoctlGetTermios(int(p.keyboard.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return *s
}

// given waits until the shell has given its terminal to a job.
func (p *person) given() {
	p.t.Helper()
	eventually(p.t, "a job has the terminal", func() bool {
		group, err := unix.IoctlGetInt(int(p.keyboard.Fd()), unix.TIOCGPGRP)
		return err == nil && group != p.cmd.Process.Pid
	})
}

func (p *person) raw() bool { return p.settings().Lflag&unix.ICANON == 0 }

func TestABytewiseTranscriptOfATerminalIsTheSameForARemoteCommand(t *testing.T) {
	node1, _, _ := three(t)
	type step struct{ sees, types string }
	for name, c := range map[string]struct {
		script string
		steps  []step
	}{
		"size, colours, a name":   {`stty size; ls --color=auto -d /; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo terminals; [ "$(stat -Lc %t:%T /dev/fd/0)" = "$(stat -c %t:%T "$(tty)")" ]`, nil},
		"both outputs in order":   {`for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done`, nil},
		"carriage returns":        {`printf 'a\rb\r\nc\n\nd\te\r\r\n\n'; stty -onlcr; printf 'a\nb\r\n'; stty onlcr -opost; printf 'a\nb\r\n'; stty sane; echo c`, nil},
		"a question":              {`printf 'name? '; read x; echo "hello $x"; exit 3`, []step{{"name? ", "bob\n"}}},
		"line editing":            {`printf 'name? '; read x; echo "hello $x"`, []step{{"name? ", "bx\x7fob\n"}}},
		"a password":              {`stty -echo; printf 'password: '; read x; stty echo; echo; echo "($x)"`, []step{{"password: ", "secret\n"}}},
		"single keys":             {`stty -icanon -echo; echo ready; dd bs=1 count=3 status=none | od -c; stty icanon echo; echo done`, []step{{"ready", "\x1b[A"}}},
		"raw and left so":         {`stty raw -echo; printf 'ready\r\n'; dd bs=1 count=1 status=none | od -c; printf x`, []step{{"ready", "\x03"}}},
		"ends of file":            {`cat; echo one; cat; echo two`, []step{{"", "a\n"}, {"a\r\na\r\n", "\x04"}, {"one", "b\n"}, {"b\r\nb\r\n", "\x04"}}},
		"half a line and its end": {`printf '? '; cat`, []step{{"? ", "abc\x04"}, {"abcabc", "\x04"}, {"", "\x04"}}},
		"an interrupt":            {`trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done`, []step{{"ready", "\x03"}}},
		"death by quit":           {`ulimit -c 0; echo ready; exec sleep 100`, []step{{"ready", "\x1c"}}},
		"a file instead":          {`echo to the terminal >/dev/tty; read x </dev/tty; echo "$x" >&2`, []step{{"to the terminal", "typed\n"}}},
		"long output":             {`seq 20000`, nil},
		"no terminal for input":   {`exec </dev/null; ls --color=auto -d /; cat; echo done`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "single keys" {
				if _, err := exec.LookPath("od"); err != nil {
					t.Skip(err)
				}
			}
			var said [2]string
			var how [2]string
			var left [2]unix.Termios
			for i := range said {
				p := sit(t, node1, "mexec", "-n", fmt.Sprint(i+1), "sh", "-c", "sleep 0.1; "+c.script) // once the size is set
				for _, s := range c.steps {
					p.sees(s.sees)
					p.types(s.types)
				}
				said[i] = p.all()
				left[i] = p.settings()
				p.cmd.Wait()
				how[i] = p.cmd.ProcessState.String()
			}
			if said[0] != said[1] || how[0] != how[1] {
				t.Errorf("here  %q, %s\nthere %q, %s", said[0], how[0], said[1], how[1])
			}
			if left[0] != left[1] {
				t.Errorf("settings here %+v, there %+v", left[0], left[1])
			}
		})
	}
}

func TestAChangeOfSizeReachesTheProgram(t *testing.T) {
	node1, _, _ := three(t)
	p := sit(t, node1, "mexec", "-n", "2", "sh", "-c", `trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done`)
	p.sees("ready")
	p.resize(43, 121)
	p.sees("43 121")
}

func TestTopRedrawsHearsAKeyAndLeavesTheTerminalAsItWas(t *testing.T) {
	node1, _, _ := three(t)
	if _, err := exec.LookPath("top"); err != nil {
		t.Skip(err)
	}
	p := sit(t, node1, "env", "TERM=xterm", "sh", "-c", "echo first; read x; exec mexec -n 2 top -d 0.2")
	p.sees("first")
	before := p.settings()
	p.types("\n")
	p.sees("load average", "mexecd", "load average")
	if !p.raw() {
		t.Error("a key needs a newline")
	}
	p.types("q")
	p.all()
	if err := p.cmd.Wait(); err != nil || p.settings() != before {
		t.Errorf("%v; settings %+v, were %+v", err, p.settings(), before)
	}
}

// sleeper is a command that can be interrupted from its first word on. A dash that has said it and is about to start `sleep` catches the interrupt
// and forgets it, in 6 of 1,000 cases, without us too.
func sleeper(says string) string { return `perl -e "print qq(` + says + `\n); sleep 100"` }

func TestAStoppedCommandIsTheShellsToContinue(t *testing.T) {
	node1, _, _ := three(t)
	p := shell(t, node1)
	p.types("mexec -n 2 sh -c 'echo ready; cat; exec " + sleeper("over") + "'\n")
	p.sees("ready", "\nready") // its echo, and itself
	p.types("one\n")
	p.sees("one\r\n", "one\r\n")
	p.types("\x1a")
	p.sees("Stopped", "$ ")
	p.types("echo mine\n") // what is typed now is the shell's
	p.sees("mine", "\r\nmine", "$ ")
	p.types("fg\n")
	p.sees("fg\r\n", "mexec")
	p.types("two\n")
	p.sees("two\r\n", "two\r\n")
	p.types("\x04")
	p.sees("over")
	p.types("\x03")
	p.sees("$ ")
	p.types("echo status $?\n")
	p.sees("status 130", "$ ")
	// In the background it may print, and is stopped when it would read.
	p.types("mexec -n 2 sh -c 'echo printed; read x; echo \"<$x>\"' &\n")
	p.sees("$ ", "printed")
	eventually(t, "it is stopped", func() bool {
		p.types("\n")
		p.sees("$ ")
		p.mu.Lock()
		defer p.mu.Unlock()
		return bytes.Contains(p.screen[max(0, p.mark-200):], []byte("Stopped"))
	})
	p.types("fg\n")
	p.sees("fg\r\n", "mexec", "\r\n")
	p.types("three\n")
	p.sees("<three>", "$ ")
}

func TestAShellOnAnotherNodeControlsItsJobs(t *testing.T) {
	node1, _, _ := three(t)
	p := shell(t, node1)
	p.types("mexec -n 2 bash --norc -i\n")
	p.sees("mexec", "$ ")
	p.types("uname -n\n")
	p.sees("\nnode2", "$ ")
	p.types(sleeper("go") + "\n") // one job: between two, it is the shell that is in the foreground
	p.sees("\r\ngo\r\n")
	p.types("\x1a")
	p.sees("Stopped", "$ ")
	p.types("jobs; kill -9 %1; wait\n")
	p.sees("Stopped", "$ ")
	p.types(sleeper("go") + "\n")
	p.sees("\r\ngo\r\n")
	p.types("\x03")
	p.sees("$ ")
	p.types("suspend\n") // itself
	p.sees("Stopped", "$ ")
	p.types("uname -n\n")
	p.sees("\nnode1", "$ ")
	p.types("fg\n")
	p.sees("fg\r\n", "mexec", "$ ")
	p.types("uname -n; exit 7\n")
	p.sees("\nnode2", "$ ")
	p.types("echo status $?\n")
	p.sees("status 7")
}

func TestWhatIsTypedWhileACommandComputesIsTheShells(t *testing.T) {
	node1, _, _ := three(t)
	p := shell(t, node1)
	dir := t.TempDir()
	up := filepath.Join(dir, "up")
	for range 3 {
		p.types("mexec -n 2 sh -c 'echo ready; while [ ! -e " + up + " ]; do sleep 0.05; done'\n")
		p.sees("done'", "ready")
		p.types("echo $((1234 * 2))\n")
		p.sees("echo")
		write(t, up, "")
		p.sees("2468", "$ ")
		os.Remove(up)
	}
	p.types("mexec -n 2 true\nmexec -n 2 true\necho $((1234 * 3))\n")
	p.sees("3702")
}

func TestALostNodeLeavesTheTerminalAsItWas(t *testing.T) {
	node1, node2, _ := three(t)
	p := shell(t, node1)
	p.types("sh -c 'mexec -n 2 sh -c \"stty raw -echo; echo ready; sleep 100\"; echo status $?; sleep 100'\n")
	p.sees("100'", "ready")
	if !p.raw() {
		t.Fatal("the terminal is not raw")
	}
	killDaemon(t, node2)
	p.sees("mexec: ", "lost on node2", "\r\nstatus 125\r\n")
	if p.raw() {
		t.Error("the terminal is still raw")
	}
	restore(t, node2)
}

func TestATerminalIsUsableAfterItsOwnDaemonIsKilled(t *testing.T) {
	node1, _, _ := three(t)
	p := shell(t, node1)
	p.types("sh -c 'mexec -n 2 sh -c \"stty raw -echo; echo ready; sleep 100\"; echo status $?; sleep 100'\n")
	p.sees("100'", "ready")
	killDaemon(t, node1)
	p.sees("mexec: ", "lost", "\r\nstatus 125\r\n")
	if s := p.settings(); s.Lflag&unix.ICANON == 0 || s.Lflag&unix.ECHO == 0 {
		t.Error("the terminal is still raw")
	}
	restore(t, node1)
}

func TestAClosedTerminalEndsItsCommand(t *testing.T) {
	node1, node2, _ := three(t)
	dir := t.TempDir()
	up, hup := filepath.Join(dir, "up"), filepath.Join(dir, "hup")
	cmd := node1.Command("mexec", "-n", "node2", "sh", "-c", `trap ': >"$2"' HUP; : >"$1"; while read x; do :; done`, "sh", up, hup)
	cmd.Env = append(cmd.Env, "MEXEC_TEST_TREE="+up)
	keyboard := terminal(t, cmd)
	eventually(t, "it runs", func() bool { _, err := os.Stat(up); return err == nil })
	keyboard.Close()
	eventually(t, "it is gone", func() bool { return len(living(network(node2), up)) == 0 })
	cmd.Wait()
	if _, err := os.Stat(hup); err != nil {
		t.Error("it has not heard of the hang-up")
	}
}

func TestACommandInTheBackgroundDoesNotChangeTheTerminal(t *testing.T) {
	node1, _, _ := three(t)
	p := shell(t, node1)
	eventually(t, "the shell reads a line", p.raw)
	before := p.settings().Lflag
	// The shell waits without a child meanwhile: between vfork and execve the kernel does not stop it.
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	p.types("mexec -n 2 sh -c 'stty raw -echo; read x <" + fifo + "; echo raw; dd bs=1 count=1 status=none; stty sane; echo sane' &\n")
	eventually(t, "it is stopped", func() bool {
		p.types("\n")
		p.sees("\n$ ")
		p.mu.Lock()
		defer p.mu.Unlock()
		return bytes.Contains(p.screen, []byte("Stopped"))
	})
	// They are the shell's own, which it makes while it reads a line, and takes back.
	eventually(t, "the settings are as before", func() bool { return p.settings().Lflag == before })
	p.types("fg\n")
	eventually(t, "it is raw in the foreground", p.raw)
	write(t, fifo, "go\n")
	p.types("x")
	p.sees("x", "sane\r\n", "$ ")
}

func TestJobsThatShareATerminalKeepTheirLinesWhole(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "noise.sh"), `i=0
while [ $i -lt 60 ]; do
	printf "$1 $i "; printf "abcdefghijklmnopqrstuvwxyz%.0s" 1 2 3 4 5; printf " end $1\n"
	i=$((i+1))
done
`)
	write(t, filepath.Join(dir, "Makefile"), "all: a b c d e f g h\na b c d e f g h:\n\t@sh noise.sh $@\n")
	p := sit(t, node1, "env", "NODES=2-3", "mpmake", "-j8", "-C", dir)
	seen := 0
	for line := range strings.Lines(p.all()) {
		line = strings.TrimRight(line, "\r\n")
		if !strings.Contains(line, "abc") {
			continue
		}
		seen++
		who, rest, _ := strings.Cut(line, " ")
		_, rest, _ = strings.Cut(rest, " ")
		if rest != strings.Repeat("abcdefghijklmnopqrstuvwxyz", 5)+" end "+who {
			t.Errorf("a torn line: %q", line)
		}
	}
	if seen != 8*60 {
		t.Errorf("%d lines", seen)
	}
}

// tmux is a terminal whose screen can be looked at.
type tmux struct {
	t    *testing.T
	host *hosts.Host
	name string
}

func (x tmux) run(args ...string) string {
	cmd := x.host.Command("tmux", append([]string{"-L", x.name}, args...)...)
	cmd.Env = append(cmd.Env, "PS1=$ ", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		x.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

// shows waits until a word is on the screen.
func (x tmux) shows(word string) {
	x.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		screen := x.run("capture-pane", "-p")
		if strings.Contains(screen, word) {
			return
		}
		if time.Now().After(deadline) {
			x.t.Fatalf("the screen does not show %q:\n%s", word, screen)
		}
	}
}

func TestFullScreenProgramsDrawTheSameScreenFromAnotherNode(t *testing.T) {
	node1, _, _ := three(t)
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	var lines strings.Builder
	for i := range 200 {
		fmt.Fprintf(&lines, "line %d\n", i)
	}
	write(t, filepath.Join(dir, "text"), lines.String())
	type step struct {
		keys  []string
		shows string
	}
	for _, c := range []struct {
		command string
		shows   string
		steps   []step
	}{
		{"vim -u NONE -n text", "line 10", []step{
			{[]string{"5", "G", "A", "hello"}, "line 4hello"},
			{[]string{"Escape", "/line 150", "Enter"}, "line 150"},
			{[]string{":q!", "Enter"}, "$"}}},
		{"less text", "line 10", []step{{[]string{"Space"}, "line 40"}, {[]string{"Up"}, "line 22"}, {[]string{"q"}, "$"}}},
		{"sh -c 'cat text | less'", "line 10", []step{{[]string{"G"}, "line 199"}, {[]string{"q"}, "$"}}},
		{"bash --norc -i", "$", []step{{[]string{"echo hal", "BSpace", "BSpace", "ey", "Enter"}, "\nhey"}, {[]string{"Up"}, "hey\n$ echo hey"}, {[]string{"C-u", "exit", "Enter"}, "exit"}}},
	} {
		program := strings.Fields(c.command)[0]
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("not tried: %v", err)
			continue
		}
		var pair [2]tmux
		for i := range pair {
			x := tmux{t, node1, fmt.Sprintf("mexec-%d-%s-%d", os.Getpid(), program, i)}
			x.run("-f", "/dev/null", "new-session", "-d", "-c", dir, "-x", "80", "-y", "24", "bash", "--norc", "-i")
			t.Cleanup(func() { x.host.Command("tmux", "-L", x.name, "kill-server").Run() })
			x.shows("$")
			x.run("send-keys", fmt.Sprintf("NODES=%d; clear", i+1), "Enter", "export NODES; clear", "Enter")
			eventually(t, "an empty screen", func() bool { return strings.TrimSpace(x.run("capture-pane", "-p")) == "$" })
			x.run("send-keys", "clear; mexec -v "+c.command+" 2>/dev/tty", "Enter")
			pair[i] = x
		}
		alike := func(what, shows string) {
			t.Helper()
			pair[0].shows(shows)
			var screens [2]string
			same := func() bool {
				for i, x := range pair {
					screens[i] = x.run("capture-pane", "-p", "-e")
				}
				here := screens[0]
				if at := strings.Index(here, "mexec: here:"); at >= 0 { // -v says where and why
					end := at + strings.Index(here[at:], "\n")
					far := screens[1]
					if at := strings.Index(far, "mexec: node2:"); at >= 0 {
						screens[1] = far[:at] + here[strings.Index(here, "mexec: here:"):end] + far[at+strings.Index(far[at:], "\n"):]
					}
				}
				return screens[0] == screens[1] && strings.Contains(screens[0], strings.Split(shows, "\n")[0])
			}
			for deadline := time.Now().Add(20 * time.Second); !same(); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s, %s: here\n%s\nthere\n%s", c.command, what, screens[0], screens[1])
				}
			}
		}
		alike("at first", c.shows)
		for _, s := range c.steps {
			for _, x := range pair {
				x.run(append([]string{"send-keys"}, s.keys...)...)
			}
			alike(fmt.Sprint("after ", s.keys), s.shows)
		}
		for _, x := range pair {
			x.run("kill-server")
		}
	}
}

// A shell that edits its line has the terminal raw, and so a command that starts or goes on in the background finds it. That was taken for
// a program's own wish for keys, and the command was stopped.
func TestACommandInTheBackgroundThatReadsNothingIsNotStopped(t *testing.T) {
	node1, _, _ := three(t)
	p := shell(t, node1)
	p.types("mexec -n 2 sh -c 'sleep 0.5; echo first is ov\"er\"' &\n")
	if s := p.sees("first is over"); strings.Contains(s, "Stopped") {
		t.Errorf("started there: %q", s)
	}
	p.types("mexec -n 2 sh -c 'echo re\"ad\"y; sleep 0.5; sleep 0.5; echo second is ov\"er\"'\n")
	p.sees("ready")
	p.types("\x1a")
	p.sees("Stopped", "$ ")
	p.types("bg\n")
	if s := p.sees("second is over"); strings.Contains(s, "Stopped") {
		t.Errorf("continued there: %q", s)
	}
}
