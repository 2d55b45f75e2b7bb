package spawn

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
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
	args := append([]string{"-static", "-Os", "-s", "-o", to, "../../libmexec/guard.c", "../../libmexec/supervise.c"}, sources...)
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
func setEnv(e *wire.ExecBody, env ...string)   { e.Env, e.Envc = strs(env) }

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

func TestEveryAttributeArrives(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		e := sh(t, "")
		e.Path = []byte("/bin/cat")
		setArgv(e, "cat", "/proc/self/status", "/proc/self/limits", "/proc/self/stat")
		e.Umask = 0o137
		e.Nice = 7
		e.Flags = wire.NoNewPrivs
		e.SigIgn = 1<<(syscall.SIGPIPE-1) | 1<<(syscall.SIGCHLD-1) | 1<<(40-1)
		e.SigBlk = 1<<(syscall.SIGUSR1-1) | 1<<(33-1) | 1<<(64-1)
		e.Rlimit[unix.RLIMIT_NOFILE] = [2]uint64{37, 38}
		e.Rlimit[unix.RLIMIT_CORE] = [2]uint64{0, 4096}
		e.Rlimit[unix.RLIMIT_STACK] = [2]uint64{1 << 20, 1 << 22}
		j := Job{}
		if os.Getuid() == 0 {
			j = Job{SetIDs: true, UID: 12345, GID: 23456, Groups: []uint32{34567, 45678}}
		}
		out := output(t, s, j, e)
		want := map[string]string{
			"Umask": "0137", "NoNewPrivs": "1",
			"SigIgn": fmt.Sprintf("%016x", e.SigIgn), "SigBlk": fmt.Sprintf("%016x", e.SigBlk), "SigCgt": "0000000000000000",
		}
		if j.SetIDs {
			want["Uid"], want["Gid"], want["Groups"] = "12345 12345 12345 12345", "23456 23456 23456 23456", "34567 45678"
			want["CapEff"] = "0000000000000000"
		}
		for name, w := range want {
			if got := field(t, out, name); got != w {
				t.Errorf("%s is %s, want %s", name, got, w)
			}
		}
		for _, line := range []string{"Max open files 37 38 files", "Max core file size 0 4096 bytes", "Max stack size 1048576 4194304 bytes"} {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), line) {
				t.Errorf("no %q in %s", line, out)
			}
		}
		_, stat, _ := strings.Cut(out, " (cat) R ")
		if f := strings.Fields(stat); len(f) < 16 || f[15] != "7" || f[1] == strconv.Itoa(unix.Getpgrp()) {
			t.Errorf("nice or process group: %q", stat)
		}
	})
}

func TestBytesOfArgumentsEnvironmentAndDirectoryArriveUnchanged(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		e := sh(t, "")
		e.Cwd = []byte(filepath.Join(string(e.Cwd), "a\xff b\n"))
		if err := os.Mkdir(string(e.Cwd), 0o777); err != nil {
			t.Fatal(err)
		}
		os.Chmod(string(e.Cwd), 0o777)
		setArgv(e, "\xfe sh", "-c", "cat /proc/$$/cmdline; printf '\\001'; exec readlink -n /proc/self/cwd", "", "\n\xff", "")
		got := strings.Split(output(t, s, Job{}, e), "\x01")
		if len(got) != 2 || got[0] != string(e.Argv) || got[1] != string(e.Cwd) {
			t.Errorf("got %q", got)
		}
		e.Path = []byte("/bin/cat")
		setArgv(e, "cat", "/proc/self/environ")
		setEnv(e, "B=1", "A=2", "B=3", "no equals sign", "", "=", "X=\xff\n")
		if got := output(t, s, Job{}, e); got != string(e.Env) {
			t.Errorf("environment %q, want %q", got, e.Env)
		}
	})
}

func TestAGiantFrameArrives(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		e := sh(t, `echo $# ${#1}`)
		args := []string{"sh", "-c", "echo $# ${#1}", "sh"}
		for range 15 {
			args = append(args, strings.Repeat("x", 100_000))
		}
		args = append(args, slices.Repeat([]string{""}, 10_000)...)
		setArgv(e, args...)
		if got := output(t, s, Job{}, e); got != "10015 100000\n" {
			t.Errorf("got %q", got)
		}
	})
}

func TestClosedDescriptorsAreClosedAndNoOtherIsOpen(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		e := sh(t, "ls /proc/$$/fd")
		e.FDs = 2
		if got := output(t, s, Job{}, e); got != "1\n" {
			t.Errorf("open descriptors: %q", got)
		}
		e.FDs = 7
		if got := output(t, s, Job{}, e); got != "1\n2\n" {
			t.Errorf("open descriptors: %q", got)
		}
	})
}

// A daemon that was started by nohup, or by a shell that ignores a signal, must not hand that down.
func TestWhatTheDaemonIgnoresIsNotHandedDown(t *testing.T) {
	s := open(t, Config{NoCgroup: true})
	s.ignored |= 1<<(syscall.SIGTSTP-1) | 1<<(syscall.SIGHUP-1)
	e := sh(t, "")
	e.Path = []byte("/bin/cat")
	setArgv(e, "cat", "/proc/self/status")
	if got := field(t, output(t, s, Job{}, e), "SigIgn"); got != "0000000000000000" {
		t.Errorf("ignored: %s", got)
	}
}

func TestEveryStepSaysWhatIsWrong(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		var st unix.Stat_t
		for _, c := range []struct {
			name string
			edit func(e *wire.ExecBody, j *Job)
			want string
			step Step
		}{
			{"chdir", func(e *wire.ExecBody, j *Job) { e.Cwd = []byte("/nowhere") }, "chdir /nowhere: no such file or directory", StepCWD},
			{"rlimit", func(e *wire.ExecBody, j *Job) { e.Rlimit[7] = [2]uint64{1 << 40, 1 << 40} }, "setrlimit nofile: operation not permitted", StepRLimit},
			{"execve", func(e *wire.ExecBody, j *Job) { e.Path = []byte("/etc/passwd") }, "execve /etc/passwd: permission denied", StepExec},
			{"no program", func(e *wire.ExecBody, j *Job) { e.Path = []byte("nothing") }, "execve nothing: no such file or directory", StepExec},
			{"directory", func(e *wire.ExecBody, j *Job) { j.CheckDirectory, j.SameKernel = true, true },
				"directory %cwd: another directory here", StepDirectory},
			{"local", func(e *wire.ExecBody, j *Job) { j.CheckDirectory, e.Dir.FS, e.Cwd = true, 0xef53, []byte("/dev/shm") },
				"directory /dev/shm: on a local file system, here and at the caller", StepDirectory},
			{"program", func(e *wire.ExecBody, j *Job) { j.CheckProgram = true }, "program /bin/sh: another size here", StepProgram},
			{"program time", func(e *wire.ExecBody, j *Job) { j.CheckProgram, e.Prog.Size = true, uint64(st.Size) },
				"program /bin/sh: another modification time here", StepProgram},
			{"program gone", func(e *wire.ExecBody, j *Job) { j.CheckProgram, e.Path = true, []byte("./gone") },
				"program ./gone: no such file or directory", StepProgram},
			{"no setter", func(e *wire.ExecBody, j *Job) { j.EnvSetter = "/no/setter" },
				"environment setter /no/setter: no such file or directory", StepEnvSetter},
			{"frame", func(e *wire.ExecBody, j *Job) { j.Exec = []byte("garbage") }, "stage frame: invalid argument", StepFrame},
		} {
			t.Run(c.name, func(t *testing.T) {
				if err := unix.Stat("/bin/sh", &st); err != nil {
					t.Fatal(err)
				}
				e, j := sh(t, "exit 0"), Job{}
				c.edit(e, &j)
				_, err := start(t, s, j, e)
				step, ok := err.(*StepError)
				want := strings.ReplaceAll(c.want, "%cwd", string(e.Cwd))
				if !ok || step.Step != c.step || err.Error() != want {
					t.Errorf("%v, want %s", err, want)
				}
			})
		}
	})
}

func TestAnUnprivilegedDaemonSaysWhatItMayNot(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may")
	}
	everywhere(t, func(t *testing.T, s *Spawner) {
		for want, edit := range map[string]func(e *wire.ExecBody, j *Job){
			"setpriority: permission denied":     func(e *wire.ExecBody, j *Job) { e.Nice = -5 },
			"setgroups: operation not permitted": func(e *wire.ExecBody, j *Job) { j.SetIDs, j.UID = true, 1 },
			"setrlimit core: operation not permitted": func(e *wire.ExecBody, j *Job) {
				unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 4096})
				e.Rlimit[unix.RLIMIT_CORE] = [2]uint64{0, 8192}
			},
		} {
			e, j := sh(t, "exit 0"), Job{}
			edit(e, &j)
			if _, err := start(t, s, j, e); err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
}

// Each length of a frame, made wrong in each way that a decoder could fall for.
func TestAMalformedFrameIsRefused(t *testing.T) {
	s := open(t, Config{NoCgroup: true})
	e := sh(t, "")
	e.Path, e.Nodes, e.Groups = []byte("/bin/true"), []byte("1-3"), []uint32{1, 2}
	good := e.Append(nil)
	try := func(name string, body []byte) {
		r, err := start(t, s, Job{Exec: body}, nil)
		if err != nil {
			if step, ok := err.(*StepError); !ok || step.Step != StepFrame {
				t.Errorf("%s: %v", name, err)
			}
			return
		}
		r.finish(t)
		t.Errorf("%s was taken", name)
	}
	for _, at := range []int{0, 416, 420, 424, 428, 432, 436, 440, 444} { // head_len, then ngroups to strings_len
		was := binary.LittleEndian.Uint32(good[at:])
		for _, v := range []uint32{0, was - 1, was + 1, was + 4, 1 << 16, 1 << 29, 1 << 30, 1 << 31, ^uint32(0)} {
			if v != was {
				bad := slices.Clone(good)
				binary.LittleEndian.PutUint32(bad[at:], v)
				try(fmt.Sprintf("%d at %d", v, at), bad)
			}
		}
	}
	for _, n := range []int{0, 1, 479, 480, 487, 500, len(good) - 1} {
		try(fmt.Sprintf("the first %d bytes", n), good[:n])
	}
}

func TestTheSameDirectoryAndProgramAreAccepted(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		e := sh(t, "echo here")
		var dir, prog unix.Stat_t
		if err := unix.Stat(string(e.Cwd), &dir); err != nil {
			t.Fatal(err)
		}
		if err := unix.Stat("/bin/sh", &prog); err != nil {
			t.Fatal(err)
		}
		e.Dir = wire.Directory{Dev: dir.Dev, Ino: dir.Ino, FS: 0x6969, Ctime: wire.Time{Sec: dir.Ctim.Sec, Nsec: uint32(dir.Ctim.Nsec)}}
		e.Prog = wire.Program{Dev: prog.Dev, Ino: prog.Ino}
		if got := output(t, s, Job{SameKernel: true, CheckDirectory: true, CheckProgram: true}, e); got != "here\n" {
			t.Errorf("got %q", got)
		}
		e.Prog = wire.Program{Size: uint64(prog.Size), Mtime: wire.Time{Sec: prog.Mtim.Sec, Nsec: uint32(prog.Mtim.Nsec)}}
		if got := output(t, s, Job{CheckDirectory: true, CheckProgram: true}, e); got != "here\n" {
			t.Errorf("got %q", got)
		}
	})
}

// A directory that may be searched and not read is still a working directory.
func TestADirectoryThatCannotBeReadIsChecked(t *testing.T) {
	s := open(t, Config{})
	e := sh(t, "echo here")
	var dir unix.Stat_t
	if err := unix.Stat(string(e.Cwd), &dir); err != nil {
		t.Fatal(err)
	}
	os.Chmod(string(e.Cwd), 0o111)
	e.Dir = wire.Directory{Dev: dir.Dev, Ino: dir.Ino}
	e.Rlimit[unix.RLIMIT_NOFILE][0] = 5
	j := Job{SameKernel: true, CheckDirectory: true}
	if os.Getuid() == 0 {
		j.SetIDs, j.UID, j.GID = true, 12345, 12345
	}
	if got := output(t, s, j, e); got != "here\n" {
		t.Errorf("got %q", got)
	}
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

func TestTheEnvironmentThatASetterLeavesIsTheJobs(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		e := sh(t, "")
		e.Path = []byte("/bin/cat")
		setArgv(e, "cat", "/proc/self/environ", "/proc/self/status")
		setEnv(e, "PATH=/usr/bin:/bin", "KEPT=\xff\n", "GONE=1", "CHANGED=1")
		e.SigIgn, e.SigBlk = 1<<(syscall.SIGCHLD-1), 1<<(syscall.SIGTERM-1)
		j := Job{EnvSetter: script(t, "unset GONE; CHANGED=2; export NEW=$(echo 3); umask 0777; cd /; trap '' USR1; ulimit -n 20\n")}
		if os.Getuid() == 0 {
			j.SetIDs, j.UID, j.GID = true, 12345, 12345
		}
		out := output(t, s, j, e)
		for _, want := range []string{"KEPT=\xff\n\x00", "CHANGED=2\x00", "NEW=3\x00", "PATH=/usr/bin:/bin\x00"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in %q", want, out)
			}
		}
		if strings.Contains(out, "GONE") {
			t.Errorf("GONE is still there: %q", out)
		}
		_, status, _ := strings.Cut(out, "Name:")
		if got := field(t, status, "SigIgn") + " " + field(t, status, "SigBlk") + " " + field(t, status, "Umask"); got != "0000000000010000 0000000000004000 0022" {
			t.Errorf("the script changed more than the environment: %s", got)
		}
	})
}

func TestWhatASetterPrintsGoesToTheLogOnly(t *testing.T) {
	var log syncBuffer
	s := open(t, Config{NoCgroup: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	e := sh(t, "echo job; ls /proc/$$/fd")
	e.FDs = 6
	if got := output(t, s, Job{EnvSetter: script(t, "echo to the log; echo and this >&2; cat")}, e); got != "job\n1\n2\n" {
		t.Errorf("output %q", got)
	}
	until(t, "both lines in the log", func() bool {
		return strings.Contains(log.String(), "to the log") && strings.Contains(log.String(), "and this")
	})
}

func TestASetterThatDoesNotEndWellIsTheJobsError(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		for text, want := range map[string]string{
			"exit 3":       "exit status 3",
			"false":        "exit status 1",
			"exit 0":       "left the shell before its end",
			"kill -9 $$":   "died of signal 9 (killed)",
			"if then oops": "exit status 2",
		} {
			setter := script(t, text)
			_, err := start(t, s, Job{EnvSetter: setter}, sh(t, "echo never"))
			if err == nil || err.Error() != "environment setter "+setter+": "+want {
				t.Errorf("%q: %v, want %s", text, err, want)
			}
		}
	})
}

func TestOrphansOfASetterDoNotHoldTheStartAndDieWithTheJob(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		mark := "MARK=" + t.Name()
		e := sh(t, "echo done")
		setEnv(e, "PATH=/usr/bin:/bin", mark)
		if got := output(t, s, Job{EnvSetter: script(t, "setsid sleep 1000 & true")}, e); got != "done\n" {
			t.Errorf("got %q", got)
		}
		if left := marked(mark); left != nil {
			t.Errorf("left: %v", left)
		}
	})
}

func TestUsageIsTheJobs(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		r, err := start(t, s, Job{}, sh(t, `i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; head -c 20000000 /dev/zero | tail -c 15000000 >/dev/null`))
		if err != nil {
			t.Fatal(err)
		}
		_, _, usage := r.finish(t)
		if usage.User < 5*time.Millisecond || usage.User > 10*time.Second || usage.MaxRSS < 14000 {
			t.Errorf("%+v", usage)
		}
	})
}

func TestStatusIsThePrograms(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		for script, want := range map[string]mexec.Status{
			"exit 0": {}, "exit 255": {Code: 255}, "exit 127": {Code: 127},
			"kill -9 $$": {Signal: syscall.SIGKILL}, "kill -15 $$": {Signal: syscall.SIGTERM},
		} {
			r, err := start(t, s, Job{}, sh(t, script))
			if err != nil {
				t.Fatal(err)
			}
			if _, got, _ := r.finish(t); got != want {
				t.Errorf("%s: %v, want %v", script, got, want)
			}
		}
	})
}

func TestSignalsReachTheProcessOrItsGroup(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		for _, group := range []bool{false, true} {
			e := sh(t, `trap 'echo parent; $1 && wait; exit 7' TERM; (trap 'echo child; exit' TERM; : >ready; while :; do sleep 0.01; done) & wait`, strconv.FormatBool(group))
			r, err := start(t, s, Job{}, e)
			if err != nil {
				t.Fatal(err)
			}
			until(t, "a child that waits", func() bool { return exists(e, "ready") })
			if err := r.Signal(syscall.SIGTERM, group); err != nil {
				t.Fatal(err)
			}
			out, status, _ := r.finish(t)
			if status.Code != 7 || strings.Contains(out, "child") != group {
				t.Errorf("group %v: %v, %q", group, status, out)
			}
			if err := r.Signal(syscall.SIGTERM, group); err != os.ErrProcessDone {
				t.Errorf("signal after the end: %v", err)
			}
		}
	})
}

func exists(e *wire.ExecBody, name string) bool {
	_, err := os.Stat(filepath.Join(string(e.Cwd), name))
	return err == nil
}

func TestStopsAndContinuesAreTold(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		// The job stops itself at once: before anybody can have registered.
		e := sh(t, "kill -TSTP $$; until [ -e go ]; do sleep 0.01; done; kill -STOP $$; exit 5")
		r, err := start(t, s, Job{}, e)
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan syscall.Signal, 10)
		r.Changes(func(sig syscall.Signal) { told <- sig })
		for _, want := range []syscall.Signal{syscall.SIGTSTP, 0, syscall.SIGSTOP} {
			select {
			case got := <-told:
				if got != want {
					t.Fatalf("%v, want %v", got, want)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%v was not told", want)
			}
			// The kernel tells only the last of two changes: the job waits until the first is told.
			if want == 0 {
				os.WriteFile(filepath.Join(string(e.Cwd), "go"), nil, 0o644)
			} else if err := r.Signal(syscall.SIGCONT, true); err != nil {
				t.Fatal(err)
			}
		}
		if _, status, _ := r.finish(t); status.Code != 5 {
			t.Error(status)
		}
	})
}

// A bounded fork bomb: each process leaves its session, forks two more and goes, so that no group, session or parent leads to the rest.
const bomb = `
bomb() { [ $1 -gt 0 ] && { setsid sh -c "$B" sh $(($1-1)) & setsid sh -c "$B" sh $(($1-1)) & } ; }
bomb $1
sleep ${S:-1000}
`

func TestKillEndsATreeThatForksAndLeavesItsSession(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		mark := "MARK=" + t.Name()
		e := sh(t, bomb, "5")
		setEnv(e, "PATH=/usr/bin:/bin", mark, "B="+bomb)
		r, err := start(t, s, Job{}, e)
		if err != nil {
			t.Fatal(err)
		}
		until(t, "many processes", func() bool { return len(marked(mark)) > 30 })
		begin := time.Now()
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
		r.Kill()
		_, status, _ := r.finish(t)
		if left := marked(mark); left != nil {
			t.Errorf("left: %v", left)
		}
		if status.Signal != syscall.SIGKILL || time.Since(begin) > time.Second {
			t.Errorf("%v after %v", status, time.Since(begin))
		}
	})
}

func TestWhatAJobLeavesBehindDiesWithIt(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		mark := "MARK=" + t.Name()
		e := sh(t, bomb, "3")
		setEnv(e, "PATH=/usr/bin:/bin", mark, "B="+bomb, "S=0.05")
		r, err := start(t, s, Job{}, e)
		if err != nil {
			t.Fatal(err)
		}
		if _, status, _ := r.finish(t); status != (mexec.Status{}) {
			t.Error(status)
		}
		if left := marked(mark); left != nil {
			t.Errorf("left: %v", left)
		}
	})
}

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

func TestThousandsOfJobsLeakNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		e := sh(t, "")
		e.Path = []byte("/bin/true")
		body := e.Append(nil)
		run := func(n int) {
			done := make(chan error, 8)
			for range 8 {
				go func() {
					for range n / 8 {
						p, err := s.Start(Job{Exec: body})
						if err == nil {
							_, _, err = p.Wait()
						}
						if err == nil {
							err = p.Release()
						}
						if err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range 8 {
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
		}
		run(64)
		before, goroutines := descriptors(t), goleak.IgnoreCurrent()
		if testing.Short() {
			run(200)
		} else {
			run(2000)
		}
		// The pool may have grown to as many groups as ran at once, two descriptors each.
		if after := descriptors(t); after > before+16 {
			t.Errorf("%d descriptors, %d before", after, before)
		}
		if err := goleak.Find(goroutines); err != nil {
			t.Error(err)
		}
		if s.pool != nil {
			if entries, _ := filepath.Glob(s.pool.dir + "/[0-9]*"); len(entries) > 9 {
				t.Errorf("%d groups for 8 jobs at once", len(entries))
			}
		}
	})
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
