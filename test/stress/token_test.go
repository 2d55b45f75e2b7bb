package stress_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mexec/test/hosts"
	"mexec/test/tools"
)

// A bank is a jobserver of the test itself. A build draws from it as from a make above.
type bank struct {
	t           *testing.T
	path        string   // of a fifo; empty: it is a pipe
	read, write *os.File // of a fifo the same
	tokens      int
}

func newBank(t *testing.T, tokens int, fifo bool) *bank {
	t.Helper()
	b := &bank{t: t, tokens: tokens}
	var err error
	if fifo {
		b.path = filepath.Join(t.TempDir(), "bank")
		if err = unix.Mkfifo(b.path, 0o600); err == nil {
			b.read, err = os.OpenFile(b.path, os.O_RDWR, 0)
			b.write = b.read
		}
	} else {
		b.read, b.write, err = os.Pipe()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.read.Close()
		b.write.Close()
	})
	b.write.Write(bytes.Repeat([]byte{'+'}, tokens))
	return b
}

// open makes a command a client of the bank.
func (b *bank) open(cmd *exec.Cmd) {
	auth := "fifo:" + b.path
	if b.path == "" {
		auth = "3,4"
		cmd.ExtraFiles = []*os.File{b.read, b.write}
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("MAKEFLAGS= -k -j%d --jobserver-auth=%s", b.tokens+1, auth))
}

func (b *bank) free() int {
	raw, err := b.read.SyscallConn()
	n := -1
	if err == nil {
		raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	}
	return n
}

// whole fails the test unless all tokens come home soon. Which ones is not for us to say: a make returns another byte than it took.
func (b *bank) whole(what string) {
	b.t.Helper()
	late := time.Now().Add(10 * time.Second)
	for b.free() != b.tokens {
		if time.Now().After(late) {
			b.t.Fatalf("%s: %d of %d tokens are home", what, b.free(), b.tokens)
		}
		time.Sleep(time.Millisecond)
	}
}

// levels writes a build of three levels: a make here whose recipes are makes on other nodes, which have makes below them there.
func levels(t *testing.T, dir string) {
	t.Helper()
	write(t, filepath.Join(dir, "Makefile"), "all: m2-a m3-b m4-c m2-d m3-e m4-f\nm%:\n\t+@mexec -n $(firstword $(subst -, ,$*)) $(MAKE) --no-print-directory -f middle.mk T=$@\n")
	leaf := "\t@sleep 0.05; sleep 0.0$$(($$$$ % 10)); echo $@ >>done\n"
	write(t, filepath.Join(dir, "middle.mk"), "all: $(T)-1 $(T)-2 $(T)-3 $(T)-4 $(T)-deep\n$(T)-deep:\n\t@$(MAKE) --no-print-directory -f deep.mk\n$(T)-%:\n"+leaf)
	write(t, filepath.Join(dir, "deep.mk"), "all: $(T)-deep-1 $(T)-deep-2 $(T)-deep-3\n$(T)-deep-%:\n"+leaf)
}

// victims are the processes of a build in dir but its top: stubs here, makes and recipes there. What they are is told by their names. Spared are mpmake with what is its own, and the makes that run here: of these
// each takes its tokens along when it is killed, as ever, and when the daemon of a node was just killed those that were to run there may, too. There are none before the top's own program has begun.
func victims(dir string, top int) (pids []int) {
	begun := name(top) == "make" || name(top) == "mpmake"
	for _, pid := range living(dir) {
		switch spared := name(pid) == "make" || name(pid) == "mpmake" || name(parent(pid)) == "mpmake"; {
		case pid == top:
		case spared && below(pid, top):
			begun = true
		default:
			pids = append(pids, pid)
		}
	}
	if !begun {
		return nil
	}
	return pids
}

func below(pid, top int) bool {
	for pid > 1 && pid != top {
		pid = parent(pid)
	}
	return pid == top
}

func parent(pid int) (ppid int) {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	fmt.Sscanf(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " %c %d", new(rune), &ppid)
	return ppid
}

func name(pid int) string {
	comm, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	return strings.TrimSpace(string(comm))
}

// kill kills one process of a build, or now and then the daemon of a node that works for it, and says what that was; empty: there was none.
func kill(t *testing.T, dir string, top int, workers []*hosts.Host, random *rand.Rand) string {
	t.Helper()
	if random.IntN(40) == 0 {
		h := workers[random.IntN(len(workers))]
		if err := h.KillDaemon(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := h.StartDaemon(); err != nil {
			t.Fatal(err)
		}
		return "mexecd"
	}
	pids := victims(dir, top)
	if len(pids) == 0 {
		return ""
	}
	pid := pids[random.IntN(len(pids))]
	what := name(pid)
	if what == "" || syscall.Kill(pid, syscall.SIGKILL) != nil {
		return ""
	}
	return what
}

// torment runs a build in dir to its end and kills some of it meanwhile, of which it keeps a list. It returns how often.
func torment(t *testing.T, cmd *exec.Cmd, dir string, workers []*hosts.Host, random *rand.Rand, killed map[string]int, look func()) (kills int) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		cmd.Wait()
		close(over)
	}()
	late := time.After(30 * time.Second)
	for range 1 + random.IntN(12) {
		select {
		case <-over:
			return kills
		case <-time.After(time.Duration(random.IntN(100)) * time.Millisecond):
		}
		if what := kill(t, dir, cmd.Process.Pid, workers, random); what != "" {
			killed[what]++
			kills++
		}
		look()
	}
	select {
	case <-over:
	case <-late:
		t.Fatalf("not over after 30 s:\n%s", describe(living(dir)))
	}
	return kills
}

func TestNoTokenIsLostWhateverIsKilled(t *testing.T) {
	all := four(t)
	n, random := draws(t, 60, 1000)
	killed := map[string]int{}
	for _, style := range []struct {
		make string
		fifo bool
	}{{"make", false}, {"make-4.4.1", true}} {
		path := style.make
		if style.fifo {
			path = filepath.Join(t.TempDir(), "make")
			if err := os.Symlink(tools.Path(t, style.make), path); err != nil {
				t.Fatal(err)
			}
		}
		b := newBank(t, 6, style.fifo)
		builds := 0
		for done := 0; done < n/2; builds++ {
			dir := t.TempDir()
			levels(t, dir)
			cmd := all[0].Command(path)
			cmd.Dir = dir
			cmd.Env = append(cmd.Env, marked(dir))
			b.open(cmd)
			out, err := os.Create(filepath.Join(dir, "said"))
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout, cmd.Stderr = out, out
			done += torment(t, cmd, dir, all[1:], random, killed, func() {
				if b.free() > b.tokens {
					t.Fatalf("there are %d tokens of %d", b.free(), b.tokens)
				}
			})
			out.Close()
			said, _ := os.ReadFile(filepath.Join(dir, "said"))
			for _, word := range []string{"INTERNAL", "jobserver"} {
				if bytes.Contains(said, []byte(word)) {
					t.Errorf("%s says\n%s", style.make, said)
				}
			}
			b.whole(fmt.Sprintf("%s, after %d kills", style.make, done))
		}
		t.Logf("%s: all tokens are home after each of %d builds", style.make, builds)
	}
	t.Logf("killed: %v", killed)
	idle(t)
}
