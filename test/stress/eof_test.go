package stress_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mexec/test/hosts"
	"mexec/test/tools"
)

// bound is how long a command of a second may take whatever happens to its daemons: nobody waits for longer than a link may be silent.
const bound = 10*time.Second + 5*time.Second

// chaos ends one daemon after the other, and starts each again, until it is told to stop.
type chaos struct {
	t     *testing.T
	stop  chan struct{}
	done  sync.WaitGroup
	kills int
}

func unleash(t *testing.T, all []*hosts.Host, seed uint64) *chaos {
	t.Helper()
	c := &chaos{t: t, stop: make(chan struct{})}
	random := rand.New(rand.NewPCG(seed, 1))
	c.done.Go(func() {
		for {
			select {
			case <-c.stop:
				return
			case <-time.After(time.Duration(random.IntN(150)) * time.Millisecond):
			}
			h := all[random.IntN(len(all))]
			if random.IntN(3) == 0 {
				h = all[0] // home
			}
			sig := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[random.IntN(2)]
			if err := h.KillDaemon(sig); err != nil {
				t.Error(err)
				return
			}
			c.kills++
			if random.IntN(2) == 0 { // else at once
				<-time.After(time.Duration(random.IntN(200)) * time.Millisecond)
			}
			if err := h.StartDaemon(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	return c
}

// close stops and returns how many daemons were ended.
func (c *chaos) close() int {
	close(c.stop)
	c.done.Wait()
	return c.kills
}

// holders tells who has a pipe open.
func holders(f *os.File) string {
	var want string
	raw, err := f.SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) { want, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)) })
	}
	if err != nil {
		return err.Error()
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	var pids []int
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); to == want {
			var pid int
			if fmt.Sscanf(fd, "/proc/%d/", &pid); pid != os.Getpid() {
				pids = append(pids, pid)
			}
		}
	}
	return describe(pids)
}

// A command is what a reader starts. It notes that it runs in the file $1; what it says and how it ends follows from its own words, unless it is lost.
type command struct {
	name   string
	script string
	says   string
	ends   string
}

var commands = []command{
	{"quick", `echo $$ >>$1; echo said`, "said\n", "exit status 0"},
	{"long", `echo $$ >>$1; echo a; sleep 0.4; echo b >&2; sleep 0.4; echo c`, "a\nb\nc\n", "exit status 0"},
	{"much", `echo $$ >>$1; for i in 1 2 3 4 5 6 7 8; do printf '%65536s' x; done`, strings.Repeat(strings.Repeat(" ", 65535)+"x", 8), "exit status 0"},
	{"fails", `echo $$ >>$1; echo no >&2; sleep 0.2; exit 7`, "no\n", "exit status 7"},
	{"dies", `echo $$ >>$1; echo dying; sleep 0.1; kill -9 $$`, "dying\n", "signal: killed"},
	{"leaves", `echo $$ >>$1; (setsid sleep 1 &); sleep 0.3 & echo left; exit 0`, "left\n", "exit status 0"},
	{"closes", `echo $$ >>$1; echo closed; exec >&- 2>&-; sleep 0.3; exit 3`, "closed\n", "exit status 3"},
	{"missing", "", "mexec: ./missing: No such file or directory\n", "exit status 127"},
}

// ran is what became of one command.
type ran struct {
	lost bool
	took time.Duration
	bad  string // empty: what had to be
}

// read starts a command as ninja does, and reads until nobody can write any more: a group of its own, no stdin, one pipe for both outputs.
func read(h *hosts.Host, dir string, i int, c command) (r ran) {
	note := filepath.Join(dir, fmt.Sprintf("ran-%d", i))
	cmd := h.Command("mexec", "-n", "2-4", "sh", "-c", c.script, "sh", note)
	if c.script == "" {
		cmd = h.Command("mexec", "-n", "2-4", "./missing")
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		return ran{bad: err.Error()}
	}
	defer pr.Close()
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, pw, pw
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		pw.Close()
		return ran{bad: err.Error()}
	}
	pw.Close()
	pr.SetReadDeadline(start.Add(bound))
	said, err := io.ReadAll(pr)
	if err != nil {
		r.bad = fmt.Sprintf("no end of file after %v: the pipe is open in\n%s", bound, holders(pr))
		cmd.Process.Kill()
		cmd.Wait()
		return r
	}
	over := make(chan struct{})
	go func() {
		cmd.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(bound):
		r.bad = fmt.Sprintf("it has closed its output and does not end:\n%s", describe([]int{cmd.Process.Pid}))
		cmd.Process.Kill()
		<-over
		return r
	}
	r.took = time.Since(start)
	how := cmd.ProcessState.String()
	noted, _ := os.ReadFile(note)
	times := bytes.Count(noted, []byte{'\n'})
	before, line := string(said), ""
	if at := strings.LastIndex(before, "mexec: "); at >= 0 && c.script != "" {
		before, line = before[:at], before[at:]
	}
	want := 1
	if c.script == "" {
		want = 0
	}
	switch {
	case how == c.ends && string(said) == c.says && times == want:
	case how == "exit status 125" && strings.Contains(line, "lost") && strings.Count(line, "\n") == 1 && strings.HasPrefix(c.says, before) && times <= want:
		r.lost = true
	default:
		r.bad = fmt.Sprintf("%s: %s, said %.300q, ran %d times", c.name, how, said, times)
	}
	return r
}

func TestAReaderThatWaitsForTheEndOfFileNeverHangsWhateverDaemonsDie(t *testing.T) {
	all := four(t)
	n, random := draws(t, 80, 1000)
	dir := t.TempDir()
	for _, c := range commands { // without chaos, all is as it has to be
		if r := read(all[0], dir, -1, c); r.bad != "" || r.lost {
			t.Fatalf("%+v", r)
		}
		os.Remove(filepath.Join(dir, "ran--1"))
	}
	var mu sync.Mutex
	var took times
	lost := 0
	next := make(chan int)
	picks := make([]command, n)
	for i := range picks {
		picks[i] = commands[random.IntN(len(commands))]
	}
	c := unleash(t, all, *seed)
	var readers sync.WaitGroup
	for range 6 {
		readers.Go(func() {
			for i := range next {
				r := read(all[0], dir, i, picks[i])
				mu.Lock()
				took = append(took, r.took)
				if r.lost {
					lost++
				}
				if r.bad != "" {
					t.Errorf("draw %d: %s", i, r.bad)
				}
				mu.Unlock()
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	readers.Wait()
	t.Logf("%d commands, %d daemons ended, %d commands lost; until the end of file and of the command: %v", n, c.close(), lost, took)
}

// What ninja starts is lost or not; a lost one is not run again, and its ninja ends.
func TestNinjaNeverHangsWhateverDaemonsDie(t *testing.T) {
	all := four(t)
	n, _ := draws(t, 3, 60)
	ninja := filepath.Join(t.TempDir(), "ninja")
	if err := os.Symlink(tools.Path(t, "ninja-1.13"), ninja); err != nil {
		t.Fatal(err)
	}
	const edges = 16
	c := unleash(t, all, *seed+1)
	var took times
	lost := 0
	for i := range n {
		dir := t.TempDir()
		text := "rule r\n  command = echo $$$$ >>ran-$out; echo said; sleep 0.$delay; echo done >$out\n"
		for e := range edges {
			text += fmt.Sprintf("build o%d: r\n  delay = %d\n", e, 1+e%4)
		}
		write(t, filepath.Join(dir, "build.ninja"), text)
		cmd := all[0].Command("mprun", ninja, "-k0", "-j12")
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, marked(dir))
		said, err := os.Create(filepath.Join(dir, "said"))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = said, said
		start := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(2*bound, func() {
			t.Errorf("draw %d: not over after %v:\n%s", i, 2*bound, describe(living(dir)))
			for _, pid := range living(dir) {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		})
		cmd.Wait()
		late.Stop()
		said.Close()
		took = append(took, time.Since(start))
		out, _ := os.ReadFile(filepath.Join(dir, "said"))
		failed := strings.Count(string(out), "FAILED: ")
		lost += failed
		made := 0
		for e := range edges {
			if b, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("o%d", e))); string(b) == "done\n" {
				made++
			}
			if b, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("ran-o%d", e))); bytes.Count(b, []byte{'\n'}) > 1 {
				t.Errorf("draw %d: o%d ran %d times", i, e, bytes.Count(b, []byte{'\n'}))
			}
		}
		// Who is killed after its last word has made its target, and is lost all the same.
		if made+failed < edges || failed == 0 != cmd.ProcessState.Success() || strings.Count(string(out), ": lost") != failed {
			t.Errorf("draw %d: %v, %d made and %d failed of %d:\n%s", i, cmd.ProcessState, made, failed, edges, out)
		}
	}
	t.Logf("%d builds of %d commands, %d daemons ended, %d commands lost; a build took %v", n, edges, c.close(), lost, took)
}
