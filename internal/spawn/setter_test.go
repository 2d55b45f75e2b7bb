package spawn

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mexec/internal/logtest"
)

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

// A job that may open few files, write none, or start nothing, is a job: the setter is the node's.
func TestAJobsLimitsAreNotItsSetters(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		e := sh(t, "ulimit -n; ulimit -f; echo $NEW")
		e.Rlimit[unix.RLIMIT_NOFILE] = [2]uint64{8, 8}
		e.Rlimit[unix.RLIMIT_FSIZE] = [2]uint64{0, 0}
		e.Rlimit[unix.RLIMIT_NPROC] = [2]uint64{0, 0}
		j := Job{EnvSetter: script(t, "NEW=3; export NEW\n")}
		if os.Getuid() == 0 {
			j.SetIDs, j.UID, j.GID = true, 12345, 12345
		}
		if got := output(t, s, j, e); got != "8\n0\n3\n" {
			t.Errorf("output %q", got)
		}
	})
}

func TestWhatASetterPrintsGoesToTheLogOnly(t *testing.T) {
	var log logtest.Log
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
