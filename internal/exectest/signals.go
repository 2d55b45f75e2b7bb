package exectest

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Signals: what a program begins with, and what reaches it from then on.

const (
	highest = 64
	// deadly are those that kill a program that does nothing about them.
	deadly = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 24 25 26 27 29 30 31 34 50 64"
	// relayed are those that somebody may send to the program by sending them to the caller's child.
	relayed = "1 2 3 4 5 6 7 8 10 11 12 13 14 16 18 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 40 63 64"
)

var signals = join(map[string]Test{
	"signal: all default":             same(Call{Setup: each("default", highest)}),
	"signal: all ignored":             same(Call{Setup: each("ignore", highest)}),
	"signal: all blocked":             same(Call{Setup: each("block", highest)}),
	"signal: HUP ignored":             same(Call{Setup: orders("ignore 1")}),
	"signal: INT and QUIT ignored":    same(Call{Setup: orders("ignore 2 ignore 3")}),
	"signal: PIPE ignored":            same(Call{Setup: orders("ignore 13")}),
	"signal: CHLD ignored":            same(Call{Setup: orders("ignore 17")}),
	"signal: stops ignored":           same(Call{Setup: orders("ignore 20 ignore 21 ignore 22")}),
	"signal: CONT ignored":            same(Call{Setup: orders("ignore 18")}),
	"signal: real-time ones ignored":  same(Call{Setup: orders("ignore 32 ignore 33 ignore 34 ignore 64")}),
	"signal: TERM blocked":            same(Call{Setup: orders("block 15")}),
	"signal: CHLD blocked":            same(Call{Setup: orders("block 17")}),
	"signal: real-time ones blocked":  same(Call{Setup: orders("block 32 block 33 block 34 block 64")}),
	"signal: some of each":            same(Call{Setup: orders("ignore 1 ignore 10 block 10 block 12 ignore 40 block 41")}),
	"signal: caught ones are default": same(Call{Setup: orders("catch 10 catch 15 catch 17 catch 40")}),
	"signal: an own stack is gone":    same(Call{Setup: orders("altstack")}),
	"signal: one pending":             same(Call{Setup: orders("block 10 raise 10"), Env: []string{"PROBE=pending"}}),
	"signal: TERM pending":            same(Call{Setup: orders("block 15 raise 15"), Env: []string{"PROBE=pending"}}),
	"signal: a real-time one pending": same(Call{Setup: orders("block 40 raise 40"), Env: []string{"PROBE=pending"}}),
	"signal: CHLD pending":            same(Call{Setup: orders("block 17 raise 17"), Env: []string{"PROBE=pending"}}),
	"timer: an alarm":                 same(Call{Setup: orders("timer 0 300000"), Env: []string{"PROBE=wait"}}),
	"timer: an alarm that is ignored": same(Call{Setup: orders("ignore 14 timer 0 1000"), Env: []string{"PROBE=exit 3"}}),
	"timer: how long an alarm has":    same(Call{Setup: orders("timer 0 100000000")}),
	"timer: of the program's own CPU": same(Call{Setup: orders("timer 1 100000000")}),
	"timer: of all its CPU":           same(Call{Setup: orders("timer 2 100000000")}),
	"kill: of the whole group":        killGroup,
	"kill: without mercy":             killAtOnce,
	"kill: CHLD":                      killChild,
}, deaths(), kills(), stops())

func each(order string, to int) (words []string) {
	for n := 1; n <= to; n++ {
		if n != int(syscall.SIGKILL) && n != int(syscall.SIGSTOP) {
			words = append(words, order, fmt.Sprint(n))
		}
	}
	return words
}

// deaths are of the program itself.
func deaths() map[string]Test {
	all := make(map[string]Test)
	for _, n := range strings.Fields(deadly) {
		all["death: by signal "+n] = same(Call{Env: []string{"PROBE=die " + n}})
	}
	all["death: by an ignored and blocked one"] = same(Call{Setup: orders("ignore 15 block 15"), Env: []string{"PROBE=die 15"}})
	return all
}

// live is a call whose program runs and has said "ready".
type live struct {
	*stage
	out  *bufio.Reader
	stop func()
	pid  int
	wait func() Outcome
}

func (s *stage) live(c Call, r Runner) *live {
	s.t.Helper()
	// A group of its own, whose parent is in another group of the session: the kernel would not stop an orphaned one.
	c.Sys = &syscall.SysProcAttr{Setpgid: true}
	cmd, errnoFile := s.prepare(c, r)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	l := &live{stage: s, out: bufio.NewReader(out), pid: cmd.Process.Pid}
	l.stop = func() {
		late.Stop()
		cmd.Process.Kill()
		cmd.Wait()
	}
	l.wait = func() Outcome {
		rest, _ := l.out.ReadString(0)
		cmd.Wait()
		return s.outcome(cmd, r, errnoFile, rest, "")
	}
	if l.line() != "ready\n" {
		l.stop()
		s.t.Fatalf("%s: it is not ready", r.Name)
	}
	return l
}

func (l *live) line() string {
	s, _ := l.out.ReadString('\n')
	return s
}

// kills sends signals to the caller's child and looks whether the program hears them.
func kills() map[string]Test {
	all := make(map[string]Test)
	kill := func(n, before string) Test {
		return func(t *testing.T, r Runner) {
			s := newStage(t, r)
			hear := func(r Runner) Outcome {
				l := s.live(Call{Setup: orders(before), Env: []string{"PROBE=hear"}}, r)
				defer l.stop()
				var sig int
				fmt.Sscan(n, &sig)
				syscall.Kill(l.pid, syscall.Signal(sig))
				heard := l.line()
				syscall.Kill(l.pid, syscall.SIGTERM)
				o := l.wait()
				o["heard"] = heard
				return o
			}
			s.compare(hear(s.kernel()), hear(r))
		}
	}
	for _, n := range strings.Fields(relayed) {
		all["kill: signal "+n] = kill(n, "")
	}
	// As under nohup, or in a shell's background, for a program that has a handler or waits for it.
	for _, n := range []string{"1", "2", "20", "32"} {
		all["kill: ignored at the start, signal "+n] = kill(n, "ignore "+n)
	}
	return all
}

// killChild sends CHLD and, for a program that does not hear it, URG, which a kernel delivers after it.
func killChild(t *testing.T, r Runner) {
	s := newStage(t, r)
	hear := func(r Runner) Outcome {
		l := s.live(Call{Env: []string{"PROBE=hear"}}, r)
		defer l.stop()
		syscall.Kill(l.pid, syscall.SIGCHLD)
		syscall.Kill(l.pid, syscall.SIGURG)
		o := Outcome{"heard": l.line()}
		syscall.Kill(l.pid, syscall.SIGTERM)
		l.wait()
		return o
	}
	s.compare(hear(s.kernel()), hear(r))
}

func killAtOnce(t *testing.T, r Runner) {
	s := newStage(t, r)
	end := func(r Runner) Outcome {
		l := s.live(Call{Env: []string{"PROBE=tree"}}, r)
		defer l.stop()
		syscall.Kill(-l.pid, syscall.SIGKILL)
		o := l.wait()
		o["left"] = s.left()
		return o
	}
	s.compare(end(s.kernel()), end(r))
}

func killGroup(t *testing.T, r Runner) {
	s := newStage(t, r)
	end := func(r Runner) Outcome {
		l := s.live(Call{Env: []string{"PROBE=tree"}}, r)
		defer l.stop()
		syscall.Kill(-l.pid, syscall.SIGTERM)
		o := l.wait()
		o["left"] = s.left()
		return o
	}
	s.compare(end(s.kernel()), end(r))
}

// left says whether a process of this test's program is still there after a while. It must be gone, not only killed.
func (s *stage) left() string {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		n := len(s.programs())
		if n == 0 || time.Now().After(deadline) {
			return fmt.Sprint(n)
		}
	}
}

// state is that of this test's one program, as /proc has it.
func (s *stage) state() string {
	for _, pid := range s.programs() {
		stat, _ := os.ReadFile(filepath.Join(pid, "stat"))
		if _, rest, found := strings.Cut(string(stat), ") "); found {
			return rest[:1]
		}
	}
	return "gone"
}

// programs are the processes of this test's program, by their directories in /proc.
func (s *stage) programs() (dirs []string) {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range exes {
		if to, err := os.Readlink(exe); err == nil && to == s.path("probe") {
			dirs = append(dirs, filepath.Dir(exe))
		}
	}
	return dirs
}

// stops are of the program by itself, and by a signal to the caller's child.
func stops() map[string]Test {
	all := make(map[string]Test)
	for name, sig := range map[string]syscall.Signal{"STOP": syscall.SIGSTOP, "TSTP": syscall.SIGTSTP, "TTIN": syscall.SIGTTIN, "TTOU": syscall.SIGTTOU} {
		all["stop: by itself, "+name] = stopping(Call{Env: []string{fmt.Sprint("PROBE=stop ", int(sig))}}, 0)
		all["stop: by a kill, "+name] = stopping(Call{Env: []string{"PROBE=wait"}}, sig)
	}
	return all
}

func stopping(c Call, by syscall.Signal) Test {
	return func(t *testing.T, r Runner) {
		s := newStage(t, r)
		pause := func(r Runner) Outcome {
			l := s.live(c, r)
			defer l.stop()
			if by != 0 {
				syscall.Kill(l.pid, by)
			}
			var ws syscall.WaitStatus
			// Not another look at /proc: this is the notice that a shell waits for.
			pid, err := syscall.Wait4(l.pid, &ws, syscall.WUNTRACED, nil)
			o := Outcome{"stop": fmt.Sprint(pid == l.pid, err, ws.Stopped(), int(ws.StopSignal())), "program": s.state()}
			syscall.Kill(l.pid, syscall.SIGCONT)
			if by != 0 {
				syscall.Kill(l.pid, syscall.SIGTERM)
			}
			end := l.wait()
			o["status"], o["stdout"] = end["status"], end["stdout"]
			return o
		}
		s.compare(pause(s.kernel()), pause(r))
	}
}
