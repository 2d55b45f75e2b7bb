package spawn

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mexec"
	"mexec/internal/wire"
)

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
