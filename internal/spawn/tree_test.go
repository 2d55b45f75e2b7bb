package spawn

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mexec"
)

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

// A listener that hangs, on a slow connection say, must not keep any other job from starting or being heard.
func TestAListenerThatHangsIsInNobodysWay(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		hanging, release := make(chan bool, 1), make(chan bool)
		var jobs []*running
		for _, fn := range []func(syscall.Signal){
			func(syscall.Signal) { hanging <- true; <-release },
			func(syscall.Signal) { close(release) },
		} {
			r, err := start(t, s, Job{}, sh(t, "kill -STOP $$"))
			if err != nil {
				t.Fatal(err)
			}
			jobs = append(jobs, r)
			r.Changes(fn)
			select {
			case <-hanging:
			case <-release:
			case <-time.After(10 * time.Second):
				t.Fatal("not told")
			}
		}
		for _, r := range jobs {
			r.Kill()
			r.finish(t)
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

// full waits until as many stages stand by as ever will: each of them has descriptors.
func full(t *testing.T, s *Spawner) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s.standby.mu.Lock()
		n := len(s.standby.ready)
		s.standby.mu.Unlock()
		if n == mostReady {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d stages stand by, not %d", n, mostReady)
		}
		s.standby.fill()
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
		full(t, s)
		before, goroutines := descriptors(t), goleak.IgnoreCurrent()
		if testing.Short() {
			run(200)
		} else {
			run(2000)
		}
		full(t, s)
		// The pool may have grown to as many groups as ran at once, two descriptors each.
		if after := descriptors(t); after > before+16 {
			t.Errorf("%d descriptors, %d before", after, before)
		}
		if err := goleak.Find(goroutines); err != nil {
			t.Error(err)
		}
		if s.pool != nil {
			if entries, _ := filepath.Glob(s.pool.dir + "/[0-9]*"); len(entries) > 9+mostReady {
				t.Errorf("%d groups for 8 jobs at once and %d that stand by", len(entries), mostReady)
			}
		}
	})
}
