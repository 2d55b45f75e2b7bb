package simtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func brief(name string, nodes, homes int, load float64) Shape {
	s := loaded(name, nodes, homes, load, Heavy)
	s.Warm, s.Measure = 2*time.Second, 5*time.Second
	return s
}

// holds says that nothing broke in a run.
func holds(t *testing.T, r *Result) {
	t.Helper()
	for _, p := range r.Problems {
		t.Errorf("%s, %s, seed %d: %s", r.Shape, r.Scheduler, r.Seed, p)
	}
}

func TestEverySchedulerKeepsTheLimitsAndEndsEveryJobOnce(t *testing.T) {
	for _, n := range []int{2, 10, 40} {
		for _, name := range ideals {
			for seed := range uint64(2) {
				holds(t, Run(brief("t", n, max(1, n/4), 0.9), name, seed))
			}
		}
	}
}

func TestSeedRepeatsItsRun(t *testing.T) {
	for _, name := range ideals {
		text := func() string { // all but the time that it took
			s, _, _ := strings.Cut(Run(brief("t", 20, 5, 0.95), name, 7).String(), ", took")
			return s
		}
		if a, b := text(), text(); a != b {
			t.Errorf("seed 7 gave\n%s\nand then\n%s", a, b)
		}
	}
}

func TestFaultsLoseNoJob(t *testing.T) {
	for _, f := range []Fault{
		{Kind: crash, Nodes: 3, For: time.Second}, {Kind: crash, Nodes: 3, For: 5 * time.Second},
		{Kind: partition, Nodes: 20, For: 2 * time.Second}, {Kind: partition, Nodes: 20, For: 5 * time.Second},
		{Kind: slow, Nodes: 10, For: 5 * time.Second},
	} {
		t.Run(fmt.Sprint(f.Kind, f.For), func(t *testing.T) {
			s := brief("t", 40, 10, 0.8)
			f.At, s.Measure = 3*time.Second, 10*time.Second
			s.Faults = []Fault{f}
			holds(t, Run(s, "ours", 1))
		})
	}
}

// Workers took turns, so those with long jobs had most of the slots: Jain's index was 0.63.
func TestUsersAreServedAlikeWhateverTheirJobsTake(t *testing.T) {
	for seed := range uint64(3) {
		s := Shape{Name: "t", Nodes: 60, Slots: 4, Homes: 10, Users: 10, Sizes: Even, Wide: 96, Jobs: 3000, Long: 10, Warm: 20 * time.Second}
		r := Run(s, "ours", seed)
		if holds(t, r); len(r.Jain) < 2 {
			t.Errorf("only %d times 10 s in which all want more", len(r.Jain))
		}
	}
}

func TestAFairIdealGivesEachUserHisDue(t *testing.T) {
	s := loaded("t", 20, 5, 1.1, Real)
	fair, arrival := Run(s, "equal", 1), Run(s, "omniscient", 1)
	if fair.Least < 0.97 || arrival.Least > 0.9 || len(fair.Builds) == 0 {
		t.Errorf("least part of a user's due is %.3f, and %.3f in the order of arrival; %d builds", fair.Least, arrival.Least, len(fair.Builds))
	}
}

// The ideal is that: nobody else's jobs are served sooner in the mean.
func TestNobodyBeatsTheOmniscient(t *testing.T) {
	s := brief("t", 20, 5, 0.9)
	ideal := mean(Run(s, "omniscient", 3).Responses)
	for _, name := range Schedulers {
		if m := mean(Run(s, name, 3).Responses); m < ideal {
			t.Errorf("%s: mean response %v, the ideal's is %v", name, m, ideal)
		}
	}
}

// A heap that looked past the children of a node let time go back once in a million events, and a job wait for a third of a second.
func TestTimeNeverGoesBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var c clock
	last, n := time.Duration(0), 0
	var do func()
	do = func() {
		if c.now < last {
			t.Fatalf("%v after %v", c.now, last)
		}
		last = c.now
		if n++; n < 300_000 {
			for range r.IntN(3) {
				c.after(time.Duration(r.ExpFloat64()*1e6), do)
			}
		}
	}
	for i := range 30_000 {
		c.at(time.Duration(i)*1000+time.Duration(r.IntN(1e7)), do)
	}
	c.run(time.Hour, func() bool { return false })
}
