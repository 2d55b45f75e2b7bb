package spawn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mexec/internal/wire"
)

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestAContextEndsAStartThatHangs(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		mark := "MARK=" + t.Name()
		e := sh(t, "echo never")
		setEnv(e, "PATH=/usr/bin:/bin", mark)
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			until(t, "the script", func() bool { return len(marked(mark)) > 0 })
			cancel()
		}()
		_, err := s.StartContext(ctx, Job{Exec: e.Append(nil), EnvSetter: script(t, "sleep 1000")})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		until(t, "the end of all", func() bool { return marked(mark) == nil })
	})
}

// daemonToKill is the process of the test below that is killed.
func daemonToKill(body string) {
	cfg := Config{Stage: os.Getenv("SPAWN_TEST_STAGE"), Cgroup: "mexec-test/killed"}
	cfg.noV2 = os.Getenv("SPAWN_TEST_KIND") == "cgroup1"
	cfg.NoCgroup = os.Getenv("SPAWN_TEST_KIND") == "supervisor"
	s, err := Open(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := os.ReadFile(body)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		if _, err := s.Start(Job{Exec: b}); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(s.Containment())
	select {}
}

func TestNoJobOutlivesADaemonThatWasKilled(t *testing.T) {
	for _, kind := range []string{"cgroup2", "cgroup1", "supervisor"} {
		t.Run(kind, func(t *testing.T) {
			mark := "MARK=" + t.Name()
			e := sh(t, bomb, "3")
			setEnv(e, "PATH=/usr/bin:/bin", mark, "B="+bomb)
			body := filepath.Join(t.TempDir(), "body")
			if err := os.WriteFile(body, e.Append(nil), 0o644); err != nil {
				t.Fatal(err)
			}
			daemon := exec.Command(os.Args[0])
			daemon.Env = append(os.Environ(), "SPAWN_TEST_DAEMON="+body, "SPAWN_TEST_STAGE="+stagePath, "SPAWN_TEST_KIND="+kind)
			var out syncBuffer
			daemon.Stdout = &out
			if err := daemon.Start(); err != nil {
				t.Fatal(err)
			}
			until(t, "the daemon's word", func() bool { return strings.Contains(out.String(), "\n") })
			until(t, "the trees", func() bool { return len(marked(mark)) >= 3*15 })
			daemon.Process.Signal(syscall.SIGKILL)
			begin := time.Now()
			daemon.Wait()
			if got := strings.TrimSpace(out.String()); got != kind {
				t.Skipf("the daemon had %q", got)
			}
			until(t, "the end of all", func() bool { return marked(mark) == nil })
			if took := time.Since(begin); took > time.Second {
				t.Errorf("it took %v", took)
			}
			if kind == "supervisor" {
				return
			}
			own, err := ownGroup(kind)
			if err != nil {
				t.Fatal(err)
			}
			until(t, "the groups' end", func() bool {
				generations, _ := filepath.Glob(own + "/mexec-test/killed/*/cgroup.procs")
				return generations == nil
			})
			os.Remove(own + "/mexec-test/killed")
			os.Remove(own + "/mexec-test")
		})
	}
}

// The guard may be dead too: the next daemon of the same name ends what is left.
func TestOpenEndsWhatAnEarlierDaemonLeft(t *testing.T) {
	for _, cfg := range []Config{{}, {noV2: true}} {
		first := open(t, cfg)
		if first.pool == nil {
			t.Skip("no groups here")
		}
		r, err := start(t, first, Job{}, sh(t, "setsid sleep 1000 & sleep 1000"))
		if err != nil {
			t.Fatal(err)
		}
		second := open(t, cfg)
		if _, status, _ := r.finish(t); status.Signal != syscall.SIGKILL {
			t.Error(status)
		}
		if err := second.Close(); err != nil {
			t.Error(err)
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The same tests again as a user who is nobody.
func TestUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this is the unprivileged run")
	}
	dir, err := os.MkdirTemp("", "unprivileged")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o777)
	exe := filepath.Join(dir, "spawn.test")
	if b, err := os.ReadFile(os.Args[0]); err != nil || os.WriteFile(exe, b, 0o755) != nil {
		t.Fatal(err)
	}
	run := func(t *testing.T, sys syscall.SysProcAttr, kind string) {
		cmd := exec.Command(exe, "-test.timeout=120s", "-test.short", "-test.v")
		cmd.Dir = dir
		cmd.Env = []string{"PATH=/usr/bin:/bin", "TMPDIR=" + dir, "SPAWN_TEST_STAGE=" + stagePath}
		sys.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		cmd.SysProcAttr = &sys
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if n := bytes.Count(out, []byte("/"+kind+" (")); n < 15 {
			t.Errorf("only %d tests with %s\n%s", n, kind, out)
		}
		for _, line := range strings.Split(string(out), "\n") {
			if strings.Contains(line, "--- SKIP") && strings.Contains(line, "/"+kind+" ") {
				t.Error(line)
			}
		}
	}
	t.Run("with nothing", func(t *testing.T) { run(t, syscall.SysProcAttr{}, "supervisor") })
	t.Run("in a group of its own", func(t *testing.T) {
		own, err := ownGroup("cgroup2")
		if err != nil {
			t.Skip(err)
		}
		// As systemd delegates one: its user may make groups below it and move processes within it.
		group := filepath.Join(own, fmt.Sprintf("mexec-delegated-%d", os.Getpid()))
		if err := os.Mkdir(group, 0o755); err != nil {
			t.Skip(err)
		}
		defer os.Remove(group)
		for _, name := range []string{"", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} {
			if err := os.Chown(filepath.Join(group, name), 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.Open(group)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		run(t, syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}, "cgroup2")
	})
}

// reportCPU adds what start and program took of the processors: on a busy machine the wall time says little.
func reportCPU(b *testing.B) func() {
	spent := func() time.Duration {
		var d int64
		for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
			var u syscall.Rusage
			syscall.Getrusage(who, &u)
			d += u.Utime.Nano() + u.Stime.Nano()
		}
		return time.Duration(d)
	}
	before := spent()
	return func() { b.ReportMetric(float64((spent()-before).Microseconds())/float64(b.N), "cpu-us/op") }
}

// BenchmarkStartTrue is start and wait of /bin/true, plainly by package os and by a Spawner. The difference is one static execve and about
// twenty system calls here and thirty in the stage.
func BenchmarkStartTrue(b *testing.B) {
	e := &wire.ExecBody{Umask: 0o22, FDs: 7, Cwd: []byte("/"), Path: []byte("/bin/true")}
	for i := range e.Rlimit {
		var l syscall.Rlimit
		syscall.Getrlimit(i, &l)
		e.Rlimit[i] = [2]uint64{l.Cur, l.Max}
	}
	setArgv(e, "true")
	setEnv(e, os.Environ()...)
	body := e.Append(nil)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()

	b.Run("plain", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{Files: []*os.File{null, null, null}})
			if err != nil {
				b.Fatal(err)
			}
			p.Wait()
		}
	})
	for kind, cfg := range map[string]Config{"cgroup2": {}, "cgroup1": {noV2: true}, "supervisor": {NoCgroup: true}} {
		b.Run(kind, func(b *testing.B) {
			s := open(b, cfg)
			if s.Containment() != kind {
				b.Skip("not here")
			}
			defer reportCPU(b)()
			for b.Loop() {
				p, err := s.Start(Job{Exec: body, Stdio: [3]*os.File{null, null, null}})
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := p.Wait(); err != nil {
					b.Fatal(err)
				}
				if err := p.Release(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestTheRulesOfSameDirectoryAndSameProgram(t *testing.T) {
	if _, err := os.Stat("../../libmexec"); err != nil {
		t.Skip("no sources here: the unprivileged run")
	}
	exe := filepath.Join(t.TempDir(), "same")
	build := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover=all",
		"-o", exe, "../../libmexec/tests/stage_test.c", "../../libmexec/stage_same.c")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(exe).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
