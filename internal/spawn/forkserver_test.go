package spawn

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestAForkServerThatWasKilledIsStartedAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		for range 3 {
			s.forks.mu.Lock()
			syscall.Kill(s.forks.pid, syscall.SIGKILL)
			s.forks.mu.Unlock()
			for range 2 * mostReady { // more than stand by
				if out := output(t, s, Job{}, sh(t, "echo ran")); out != "ran\n" {
					t.Fatalf("%q", out)
				}
			}
		}
	})
}

func TestAStageIsAChildOfTheDaemonAndHasNoDescriptorOfTheForkServer(t *testing.T) {
	s := open(t, Config{})
	p, err := s.fork()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		p.Kill()
		p.end()
	}()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	if f := strings.Fields(string(stat)); f[3] != strconv.Itoa(os.Getpid()) {
		t.Errorf("its parent is %s, not %d", f[3], os.Getpid())
	}
	until(t, "a stage with its channel only", func() bool {
		fds, err := os.ReadDir("/proc/" + strconv.Itoa(p.pid) + "/fd")
		return err == nil && len(fds) == 1 && fds[0].Name() == "3"
	})
}

func TestForksAtTheSameTimeGetTheirOwnProcesses(t *testing.T) {
	s := open(t, Config{})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			want := strconv.Itoa(i)
			if out := output(t, s, Job{}, sh(t, "echo "+want)); out != want+"\n" {
				t.Errorf("%s printed %q", want, out)
			}
		})
	}
	wg.Wait()
}
