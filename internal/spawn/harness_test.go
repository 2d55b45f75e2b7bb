package spawn

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mexec"
	"mexec/internal/wire"
)

var stagePath string

func TestMain(m *testing.M) {
	if path := os.Getenv("SPAWN_TEST_DAEMON"); path != "" {
		daemonToKill(path)
		return
	}
	if path := os.Getenv("SPAWN_TEST_STAGE"); path != "" { // this is the unprivileged run
		stagePath = path
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "spawn")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Chmod(dir, 0o755)
	stagePath = filepath.Join(dir, "mexec-stage")
	if err := buildStage(stagePath); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

func buildStage(to string) error {
	cc := "gcc"
	if _, err := exec.LookPath("musl-gcc"); err == nil {
		cc = "musl-gcc"
	}
	sources, err := filepath.Glob("../../libmexec/stage*.c")
	if err != nil || len(sources) == 0 {
		return fmt.Errorf("no sources of the stage: %v", err)
	}
	args := append([]string{"-static", "-Os", "-s", "-o", to, "../../libmexec/guard.c", "../../libmexec/supervise.c", "../../libmexec/forkserver.c"}, sources...)
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build the stage: %v\n%s", err, out)
	}
	return nil
}

// everywhere runs test in every way to hold a job that this machine and this user have.
func everywhere(t *testing.T, test func(t *testing.T, s *Spawner)) {
	for _, way := range []struct {
		name, kind string
		cfg        Config
	}{
		{"cgroup2", "cgroup2", Config{}},
		{"old cgroup2", "cgroup2", Config{oldV2: true}},
		{"cgroup1", "cgroup1", Config{noV2: true}},
		{"supervisor", "supervisor", Config{NoCgroup: true}},
	} {
		t.Run(way.name, func(t *testing.T) {
			s := open(t, way.cfg)
			if s.Containment() != way.kind {
				t.Skipf("%s is not to be had here, only %s", way.kind, s.Containment())
			}
			if s.pool != nil && s.pool.born != (way.name == "cgroup2") {
				t.Fatalf("forked into groups: %v", s.pool.born)
			}
			test(t, s)
		})
	}
}

func open(t testing.TB, cfg Config) *Spawner {
	t.Helper()
	cfg.Stage = stagePath
	cfg.Cgroup = fmt.Sprintf("mexec-test/%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if s.pool != nil {
			if _, err := os.Stat(s.pool.base); !os.IsNotExist(err) {
				t.Errorf("the groups are still there: %v", err)
			}
		}
	})
	return s
}

// sh is a job that runs a script in dir with this process's own attributes.
func sh(t testing.TB, script string, args ...string) *wire.ExecBody {
	t.Helper()
	e := &wire.ExecBody{Umask: 0o22, FDs: 7, Cwd: []byte(t.TempDir()), Path: []byte("/bin/sh")}
	os.Chmod(string(e.Cwd), 0o777)
	os.Chmod(filepath.Dir(string(e.Cwd)), 0o755)
	for i := range e.Rlimit {
		var l unix.Rlimit
		if err := unix.Getrlimit(i, &l); err != nil {
			t.Fatal(err)
		}
		e.Rlimit[i] = [2]uint64{l.Cur, l.Max}
	}
	setArgv(e, append([]string{"sh", "-c", script, "sh"}, args...)...)
	setEnv(e, "PATH=/usr/bin:/bin")
	return e
}

func strs(ss []string) ([]byte, int) {
	var b []byte
	for _, s := range ss {
		b = append(append(b, s...), 0)
	}
	return b, len(ss)
}

func setArgv(e *wire.ExecBody, argv ...string) { e.Argv, e.Argc = strs(argv) }

func setEnv(e *wire.ExecBody, env ...string) { e.Env, e.Envc = strs(env) }

// running is a job whose output is collected.
type running struct {
	*Process
	out    bytes.Buffer
	copied chan struct{}
}

func start(t testing.TB, s *Spawner, j Job, e *wire.ExecBody) (*running, error) {
	t.Helper()
	if j.Exec == nil {
		j.Exec = e.Append(nil)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if e == nil || e.FDs&2 != 0 {
		j.Stdio[1] = w
	}
	if e == nil || e.FDs&4 != 0 {
		j.Stdio[2] = w
	}
	p, err := s.Start(j)
	w.Close()
	run := &running{Process: p, copied: make(chan struct{})}
	if err != nil {
		r.Close()
		return nil, err
	}
	go func() {
		defer close(run.copied)
		io.Copy(&run.out, r)
		r.Close()
	}()
	return run, nil
}

func (r *running) finish(t testing.TB) (string, mexec.Status, mexec.Usage) {
	t.Helper()
	status, usage, err := r.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Release(); err != nil {
		t.Fatal(err)
	}
	<-r.copied
	return r.out.String(), status, usage
}

// output runs a job that must end well.
func output(t testing.TB, s *Spawner, j Job, e *wire.ExecBody) string {
	t.Helper()
	r, err := start(t, s, j, e)
	if err != nil {
		t.Fatal(err)
	}
	out, status, _ := r.finish(t)
	if status != (mexec.Status{}) {
		t.Fatalf("%v, output %q", status, out)
	}
	return out
}

// until polls a condition.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came: %s", what)
		}
	}
}

// marked lists the processes that have mark in their environment.
func marked(mark string) []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if bytes.Contains(env, []byte(mark)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func field(t testing.TB, status, name string) string {
	t.Helper()
	_, rest, found := strings.Cut("\n"+status, "\n"+name+":")
	if !found {
		t.Fatalf("no %s in %q", name, status)
	}
	line, _, _ := strings.Cut(rest, "\n")
	return strings.Join(strings.Fields(line), " ")
}

func script(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	os.Chmod(filepath.Dir(dir), 0o755)
	path := filepath.Join(dir, "setter")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func exists(e *wire.ExecBody, name string) bool {
	_, err := os.Stat(filepath.Join(string(e.Cwd), name))
	return err == nil
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
