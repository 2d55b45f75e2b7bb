package place

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mexec"
)

// fastAndSlow returns a home n1 without slots of its own, n2 with two slots at speed 1 and n3 with two at this speed.
func fastAndSlow(speed float64) *Home {
	h := NewHome(upNode(1, "n1", 0), chance(1))
	fast, slow := upNode(2, "n2", 2), upNode(3, "n3", 2)
	fast.Speed, slow.Speed = 1, speed
	fast.Busy = 2
	h.View([]mexec.Node{upNode(1, "n1", 0), fast, slow}, t0)
	return h
}

func sure(d time.Duration) mexec.Cost { return mexec.Cost{Runs: 3, Wall: d} }

func TestAJobTakesASlowNodeOnlyIfItEndsThereNoLater(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		what     string
		speed    float64
		fast     []time.Duration // what runs on the fast node
		since    time.Duration
		takes    time.Duration
		starts   bool
		patience time.Duration // from which on it starts all the same
	}{
		{"a fast slot comes soon", 0.25, []time.Duration{2 * s, 9 * s}, 1 * s, 10 * s, false, 60 * s},
		{"a fast slot comes late", 0.25, []time.Duration{90 * s, 90 * s}, 1 * s, 10 * s, true, 0},
		{"it gains less than it waits", 0.5, []time.Duration{25 * s}, 1 * s, 10 * s, true, 0},
		{"it gains a little more than it waits", 0.5, []time.Duration{18 * s}, 1 * s, 10 * s, false, 20 * s},
		{"a short one", 0.25, []time.Duration{2 * s, 9 * s}, 1 * s, s / 10, true, 0},
		{"nothing of ours runs on the fast one", 0.25, nil, 1 * s, 10 * s, true, 0},
		{"what runs there is overdue since long", 0.25, []time.Duration{s / 2}, 80 * s, 10 * s, true, 0},
		{"what runs there is due now", 0.25, []time.Duration{s}, 1 * s, 10 * s, false, 60 * s},
		{"nobody knows how long it takes", 0.25, []time.Duration{2 * s, 9 * s}, 1 * s, 0, true, 0},
		{"nobody knows how fast the node is", 0, []time.Duration{2 * s, 9 * s}, 1 * s, 10 * s, true, 0},
		{"as fast, but for what is measured", 0.92, []time.Duration{2 * s, 9 * s}, 1 * s, 10 * s, true, 0},
	} {
		h, id := fastAndSlow(test.speed), mexec.JobID(0)
		for _, d := range test.fast {
			id++
			h.Submit(Job{ID: id, Cost: sure(d)}, t0)
			h.Granted("n2", Offer{Grants: []Grant{Grant(id)}, Lease: Lease}, t0)
		}
		h.Take()
		now := t0.Add(test.since)
		h.Tick(now)
		h.Submit(Job{ID: 9, Cost: sure(test.takes)}, now)
		h.Granted("n3", Offer{Grants: []Grant{9}, Lease: time.Hour}, now)
		started := func() bool { return len(h.Take().Starts) == 1 }
		if got := started(); got != test.starts {
			t.Errorf("%s: it starts: %v", test.what, got)
			continue
		}
		if test.starts {
			continue
		}
		h.Tick(now.Add(test.patience - time.Millisecond))
		if started() {
			t.Errorf("%s: it started before its patience was at an end", test.what)
		}
		h.Tick(now.Add(test.patience + 2*hop))
		if !started() {
			t.Errorf("%s: it waits beyond its patience", test.what)
		}
	}
}

func TestALongJobLeavesTheSlowGrantToAShortOneAndStartsOnTheFastNode(t *testing.T) {
	h := fastAndSlow(0.25)
	h.Submit(Job{ID: 1, Cost: sure(2 * time.Second)}, t0)
	h.Granted("n2", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
	h.Take()
	now := t0.Add(time.Second)
	h.Submit(Job{ID: 2, Cost: sure(10 * time.Second)}, now)
	h.Submit(Job{ID: 3, Cost: sure(10 * time.Millisecond)}, now)
	h.Granted("n3", Offer{Grants: []Grant{1}, Lease: Lease}, now)
	todo := h.Take()
	if len(todo.Starts) != 1 || todo.Starts[0].Job != 3 || todo.Starts[0].Node != "n3" {
		t.Fatalf("starts %+v", todo.Starts)
	}
	h.Ended(1, Renewal{Grant: 2, Lease: Lease}, now.Add(time.Second))
	todo = h.Take()
	if len(todo.Starts) != 1 || todo.Starts[0].Job != 2 || todo.Starts[0].Node != "n2" {
		t.Fatalf("starts %+v", todo.Starts)
	}
}

func TestAGrantThatIsHeldBackIsOthersToHave(t *testing.T) {
	h := fastAndSlow(0.25)
	h.Submit(Job{ID: 1, Cost: sure(2 * time.Second)}, t0)
	h.Granted("n2", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
	h.Submit(Job{ID: 2, Cost: sure(10 * time.Second)}, t0)
	h.Take()
	h.Granted("n3", Offer{Grants: []Grant{1}}, t0) // somebody else waits for it
	if todo := h.Take(); len(todo.Starts) != 0 || len(todo.Returns) != 1 || wants(todo)["n3"] != 0 {
		t.Errorf("%+v", todo)
	}
	h.Tick(t0.Add(100 * time.Millisecond))
	if w := wants(h.Take()); w["n3"] != 0 {
		t.Errorf("while it waits for a faster node it wants %v", w)
	}
	h.Tick(t0.Add(61 * time.Second))
	if w := wants(h.Take()); w["n3"] == 0 {
		t.Errorf("no longer patient it wants %v", w)
	}
}

func TestASlowNodeGetsTheLateJobsOfALongQueue(t *testing.T) {
	h := fastAndSlow(0.25)
	for id := range mexec.JobID(2) {
		h.Submit(Job{ID: id + 1, Cost: sure(time.Second)}, t0)
		h.Granted("n2", Offer{Grants: []Grant{Grant(id + 1)}, Lease: Lease}, t0)
	}
	for id := range mexec.JobID(500) {
		h.Submit(Job{ID: 10 + id, Cost: sure(time.Second)}, t0.Add(time.Duration(id)))
	}
	h.Tick(t0.Add(time.Millisecond))
	if w := wants(h.Take()); w["n3"] == 0 {
		t.Errorf("nobody wants anything of the slow node: %v", w)
	}
	now := t0.Add(10 * time.Millisecond)
	h.Granted("n3", Offer{Grants: []Grant{1, 2}, Lease: Lease}, now)
	starts := h.Take().Starts
	if len(starts) != 2 || starts[0].Job < 14 || starts[1].Job < 14 {
		t.Errorf("starts %+v", starts)
	}
}

func TestWhereThisNodeIsTheSlowOneTheOthersAreAskedFirst(t *testing.T) {
	h := NewHome(upNode(1, "n1", 4), chance(1))
	fast := upNode(2, "n2", 4)
	fast.Speed = 4
	h.View([]mexec.Node{upNode(1, "n1", 4), fast}, t0)
	h.Submit(Job{ID: 1, Cost: sure(10 * time.Second)}, t0)
	if w := wants(h.Take()); w["n2"] == 0 || w["n1"] != 0 {
		t.Errorf("wants %v", w)
	}
}

// buildOn runs jobs that take so long on nodes of these speeds with four slots each, known exactly or, with a seed, within a factor, and returns how long all took.
func buildOn(speeds []float64, takes []time.Duration, off *rand.Rand) time.Duration {
	h := NewHome(upNode(1, "n1", 0), chance(1))
	view := []mexec.Node{upNode(1, "n1", 0)}
	slots := map[mexec.NodeID]*Slots{}
	speed := map[mexec.NodeID]float64{}
	for i, v := range speeds {
		n := upNode(i+2, mexec.NodeID(fmt.Sprint("n", i+2)), 4)
		n.Speed = v
		view = append(view, n)
		slots[n.Name], speed[n.Name] = NewSlots(4), v
	}
	h.View(view, t0)
	now := t0
	type end struct {
		at time.Time
		s  Start
	}
	var ends []end
	settle := func() {
		for {
			todo := h.Take()
			if todo.Empty() {
				return
			}
			for _, s := range todo.Starts {
				slots[s.Node].Start("n1", s.Grant, s.UID, s.Build, 0, now)
				e := end{now.Add(time.Duration(float64(takes[s.Job-1]) / speed[s.Node])), s}
				i, _ := slices.BinarySearchFunc(ends, e.at, func(e end, at time.Time) int { return e.at.Compare(at) })
				ends = slices.Insert(ends, i, e)
			}
			for _, w := range todo.Wants {
				if s := slots[w.Node]; s != nil {
					s.Want("n1", w.Shares, now)
				}
			}
			for _, r := range todo.Returns {
				slots[r.Node].Return("n1", r.Grants, now)
			}
			for i := range view[1:] {
				n := &view[i+1]
				offers, recalls := slots[n.Name].Take()
				for _, o := range offers {
					h.Granted(n.Name, o, now)
				}
				for _, r := range recalls {
					h.Recalled(n.Name, r.Grants, now)
				}
			}
		}
	}
	for i, d := range takes {
		if off != nil {
			d = time.Duration(float64(d) * math.Exp(off.NormFloat64()/2))
		}
		h.Submit(Job{ID: mexec.JobID(i + 1), Cost: sure(d)}, now)
	}
	settle()
	for tick := t0; h.Waiting()+len(ends) > 0; {
		if next := tick.Add(100 * time.Millisecond); len(ends) == 0 || ends[0].at.After(next) {
			tick, now = next, next
			for i := range view[1:] {
				n := &view[i+1]
				slots[n.Name].Tick(now)
				n.Busy = slots[n.Name].Busy()
			}
			h.View(view, now)
			h.Tick(now)
			settle()
			continue
		}
		e := ends[0]
		ends, now = ends[1:], e.at
		h.Ended(e.s.Job, slots[e.s.Node].End(e.s.Grant, now), now)
		settle()
	}
	return now.Sub(t0)
}

// Slow nodes make a build shorter, and at least never much longer, whatever its jobs are like, and though their costs are known only within a factor.
func TestSlowNodesDoNotMakeABuildLonger(t *testing.T) {
	for _, test := range []struct {
		fast, slow  []float64
		rough       bool
		mean, worst float64
	}{
		{[]float64{1, 1, 1}, []float64{0.25}, false, 0.97, 1.05},
		{[]float64{1, 1, 1}, []float64{0.25}, true, 0.98, 1.15},
		{[]float64{1, 1, 1}, []float64{0.7}, true, 0.9, 1.05},
		{[]float64{1}, []float64{0.5, 0.5, 0.5}, true, 0.55, 1},
		{[]float64{4}, []float64{1, 1, 1}, true, 0.75, 1.1},
	} {
		var sum, worst float64
		const builds = 40
		for seed := range uint64(builds) {
			r := rand.New(rand.NewPCG(seed, 5))
			takes := make([]time.Duration, 10+r.IntN(500))
			for i := range takes {
				takes[i] = time.Duration(float64(time.Second) * math.Exp(1.2*r.NormFloat64()))
			}
			var off *rand.Rand
			if test.rough {
				off = rand.New(rand.NewPCG(seed, 6))
			}
			ratio := float64(buildOn(slices.Concat(test.fast, test.slow), takes, off)) / float64(buildOn(test.fast, takes, off))
			sum += ratio / builds
			worst = max(worst, ratio)
		}
		t.Logf("%v and %v: %.2f times as long, at worst %.2f", test.fast, test.slow, sum, worst)
		if sum > test.mean || worst > test.worst {
			t.Errorf("%+v: with the slow ones %.2f times as long, at worst %.2f", test, sum, worst)
		}
	}
}
