package daemon

import (
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mexec"
)

func TestJobsMayHaveWhatTheyHaveAndWhatIsFreeButNoMoreThanTheirBudget(t *testing.T) {
	const budget = 100
	for _, c := range []struct {
		used, free int64
		stalled    float64
		want       int64
	}{
		{0, 500, 0, 100},
		{60, 40, 0, 100},
		{60, 10, 0, 70}, // others have the rest
		{60, 0, 0, 60},
		{60, -5, 0, 60},
		{0, -5, 0, 0},
		{60, 40, 0.2, 60}, // nothing goes on, whatever seems free
		{130, 40, 0, 100}, // beyond their budget
	} {
		if got := allowance(budget, c.used, c.free, c.stalled); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestTheReserveIsAShareWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(128<<20, 1<<42).Draw(t, "total")
		r := reserve(total)
		if r < 64<<20 || r > 1<<30 || r > total/2 {
			t.Fatalf("%d of %d", r, total)
		}
	})
}

func TestEachKillIsOneFailedJobsAndOfItsTime(t *testing.T) {
	now, kills := time.Unix(1000, 0), int64(7)
	w := newWarden(&Daemon{now: func() time.Time { return now }})
	w.count = func() (int64, bool) { return kills, true }
	w.seen = kills
	killed, failed, fine := mexec.Status{Signal: syscall.SIGKILL}, mexec.Status{Code: 1}, mexec.Status{}
	job := &burden{since: now}
	if w.killed(job, killed) {
		t.Error("nothing was killed since")
	}
	kills += 2
	now = now.Add(time.Second)
	later := &burden{since: now.Add(time.Second)}
	if w.killed(job, fine) || !w.killed(job, failed) || w.killed(later, killed) || !w.killed(job, killed) || w.killed(job, killed) {
		t.Error("two were killed, and are two jobs' that had begun by then and failed")
	}
	kills++
	w.killed(later, killed) // counts
	now = now.Add(known + time.Millisecond)
	if w.killed(job, failed) {
		t.Error("it was killed too long ago")
	}
}

func TestSizesAreForPeople(t *testing.T) {
	for n, want := range map[int64]string{5 << 10: "5 KiB", 9 << 20: "9216 KiB", 700 << 20: "700 MiB", 1288490189: "1.2 GiB", 20 << 30: "20.0 GiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
