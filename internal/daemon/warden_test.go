package daemon

import (
	"runtime"
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

func TestJobsAreLookedAtAgainBeforeTheyMayHaveTakenAll(t *testing.T) {
	if got := pace(0, 0); got != rare {
		t.Errorf("no jobs: %v", got)
	}
	second := int64(rush) * int64(runtime.NumCPU()) // what may be taken in one
	for _, c := range []struct {
		left int64
		want time.Duration
	}{{-1, often}, {0, often}, {second / 8, often}, {second / 2, rare / 2}, {second, rare}, {100 * second, rare}} {
		if got := pace(1, c.left); got != c.want {
			t.Errorf("%d left: %v, want %v", c.left, got, c.want)
		}
	}
}

// Where memory is plenty looks are rare, and the first at a job, which tells what its kind has, comes soon all the same.
func TestANewJobBringsTheNextLookForward(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newWarden(&Daemon{now: func() time.Time { return now }})
	w.last, w.due = now, now.Add(rare)
	job := w.enter(&burden{})
	if w.due != now.Add(often) || len(w.sooner) != 1 {
		t.Errorf("due in %v", w.due.Sub(now))
	}
	<-w.sooner
	now = now.Add(often / 2)
	w.enter(&burden{})
	if w.due != now.Add(often/2) || len(w.sooner) != 0 {
		t.Errorf("the second: due in %v", w.due.Sub(now))
	}
	w.short = true
	w.leave(job)
	if w.due != w.last.Add(hasty) || len(w.sooner) != 1 {
		t.Errorf("memory was short: due in %v", w.due.Sub(now))
	}
	w.due, w.rests = now.Add(2*rare), now.Add(rare)
	w.enter(&burden{})
	if w.due != w.rests {
		t.Errorf("a look takes long: due in %v", w.due.Sub(now))
	}
}
