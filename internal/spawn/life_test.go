package spawn

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mexec/internal/logtest"
)

func TestCloseKillsWhatRuns(t *testing.T) {
	for _, cfg := range []Config{{}, {noV2: true}, {NoCgroup: true}} {
		mark := fmt.Sprintf("MARK=%s-%v", t.Name(), cfg)
		s := open(t, cfg)
		e := sh(t, "setsid sleep 1000 & sleep 1000")
		setEnv(e, "PATH=/usr/bin:/bin", mark)
		var jobs []*running
		for range 5 {
			r, err := start(t, s, Job{}, e)
			if err != nil {
				t.Fatal(err)
			}
			jobs = append(jobs, r)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left := marked(mark); left != nil {
			t.Errorf("left: %v", left)
		}
		if _, err := start(t, s, Job{}, e); err != ErrClosed {
			t.Errorf("start after close: %v", err)
		}
		for _, r := range jobs {
			if _, status, _ := r.finish(t); status.Signal != syscall.SIGKILL {
				t.Error(status)
			}
		}
	}
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
			var out logtest.Log
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
		first.pool.lock.Close() // as its death would
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

// An administrator who starts mexecd by hand on a node that has one gets "address already in use". It came when all jobs of the first had been
// killed and its groups removed, so that it refused whatever it was given from then on.
func TestASecondDaemonOfTheSameNameLeavesTheFirstItsJobs(t *testing.T) {
	for _, cfg := range []Config{{}, {noV2: true}} {
		first := open(t, cfg)
		if first.pool == nil {
			t.Skip("no groups here")
		}
		gate := filepath.Join(t.TempDir(), "gate")
		r, err := start(t, first, Job{}, sh(t, `while [ ! -e "$1" ]; do sleep 0.02; done; echo alive`, gate))
		if err != nil {
			t.Fatal(err)
		}
		second, err := Open(Config{Stage: stagePath, Cgroup: "mexec-test/" + filepath.Base(first.pool.base), noV2: cfg.noV2})
		if err != nil {
			t.Fatal(err)
		}
		if second.Containment() == first.Containment() {
			t.Errorf("both have %s", first.Containment())
		}
		if err := second.Close(); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(gate, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if out, status, _ := r.finish(t); out != "alive\n" || status.Signal != 0 {
			t.Errorf("%q, %v", out, status)
		}
		if got := output(t, first, Job{}, sh(t, "echo again")); got != "again\n" {
			t.Errorf("the next job: %q", got)
		}
	}
}

// Where the groups are gone (somebody has cleared them away) a stage can't enter its own, and is no job.
func TestAStageThatCanNotEnterItsGroupEnds(t *testing.T) {
	s := open(t, Config{noV2: true})
	defer s.Close()
	if s.pool == nil {
		t.Skip("no groups here")
	}
	g, err := s.pool.get()
	if err != nil {
		t.Fatal(err)
	}
	if g.born {
		t.Skip("stages are born in their groups here")
	}
	os.Remove(g.path)
	s.pool.mu.Lock()
	s.pool.idle = append(s.pool.idle, g)
	s.pool.mu.Unlock()
	over := make(chan error, 1)
	go func() {
		_, err := s.fork()
		over <- err
	}()
	select {
	case err := <-over:
		if err == nil {
			t.Error("it entered a group that is gone")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for, and nobody ends it")
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

// A caller's pending signals come right behind the job, when the stage may not have run yet.
func TestASignalForTheGroupOfAStageThatHasNoneIsTheJobs(t *testing.T) {
	s := open(t, Config{})
	if s.pool == nil {
		t.Skip("a supervisor is asked, and it asks when its job is there")
	}
	p, err := s.fork()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGTERM, true); err != nil {
		t.Error(err)
	}
	if err := p.send(&Job{Exec: sh(t, "exit 0").Append(nil)}); err != nil {
		t.Error(err)
	}
	status, _, err := p.Wait()
	if err != nil || status.Signal != syscall.SIGTERM {
		t.Errorf("%v, %v", status, err)
	}
	if err := p.Release(); err != nil {
		t.Error(err)
	}
}
