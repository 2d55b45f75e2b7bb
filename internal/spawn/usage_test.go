package spawn

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAGuestGivesWayAsFarAsItIsTold(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		for _, c := range []struct {
			nicer          int
			nice           int32
			policy         uint8
			want, policyIs string
		}{
			{0, 3, 0, "3", "0"}, {5, 3, 0, "8", "0"}, {19, 3, 0, "19", "0"}, {5, -5, 0, "0", "0"},
			{20, 3, 0, "3", "5"}, {20, 3, unix.SCHED_BATCH, "3", "5"}, {5, 3, unix.SCHED_BATCH, "8", "3"}, {7, 3, unix.SCHED_IDLE, "3", "5"},
		} {
			e := sh(t, "")
			e.Path = []byte("/bin/cat")
			setArgv(e, "cat", "/proc/self/stat")
			e.Nice, e.Sched.Policy = c.nice, c.policy
			_, stat, _ := strings.Cut(output(t, s, Job{Nicer: c.nicer}, e), " (cat) R ")
			if f := strings.Fields(stat); len(f) < 39 || f[15] != c.want || f[37] != c.policyIs {
				t.Errorf("%d nicer than %d, policy %d: %q", c.nicer, c.nice, c.policy, stat)
			}
		}
	})
}

func TestWhatAllJobsHaveUsedIsKnownWhereGroupsCount(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		before, ok, err := s.CPU()
		if err != nil || ok != (s.Containment() == "cgroup2") {
			t.Fatalf("%v, %v", ok, err)
		}
		if !ok {
			return
		}
		r, err := start(t, s, Job{}, sh(t, `(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done) & wait`))
		if err != nil {
			t.Fatal(err)
		}
		_, _, usage := r.finish(t)
		after, _, _ := s.CPU()
		if used := after - before; used < usage.User/2 || used > 20*time.Second || usage.User == 0 {
			t.Errorf("%v, and the job alone %v", used, usage.User)
		}
	})
}
