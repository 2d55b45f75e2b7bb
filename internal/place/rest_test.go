package place

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mexec"
)

// trial sends job after job to n2, or n3, of a home without slots of its own.
type trial struct {
	t     *testing.T
	h     *Home
	now   time.Time
	id    mexec.JobID
	grant Grant
}

func newTrial(t *testing.T) *trial {
	h := NewHome(upNode(1, "n1", 0), chance(1))
	h.View([]mexec.Node{upNode(1, "n1", 0), upNode(2, "n2", 4), upNode(3, "n3", 4)}, t0)
	h.Reset("n2", t0)
	h.Reset("n3", t0)
	return &trial{t: t, h: h, now: t0}
}

// start has a job, which should take so long, and a grant for it on this node; it returns whether it started.
func (x *trial) start(on mexec.NodeID, takes time.Duration) bool {
	x.id++
	x.grant++
	x.h.Submit(Job{ID: x.id, Cost: mexec.Cost{Runs: 2, Wall: takes}}, x.now)
	x.h.Granted(on, Offer{Grants: []Grant{x.grant}, Lease: Lease}, x.now)
	if len(x.h.Take().Starts) == 1 {
		return true
	}
	x.h.Withdraw(x.id)
	return false
}

// run is a job that should take a second, and takes so long.
func (x *trial) run(on mexec.NodeID, took time.Duration) bool {
	if !x.start(on, time.Second) {
		return false
	}
	x.h.Runs(x.id)
	x.after(took)
	x.h.Ended(x.id, Renewal{}, x.now)
	return true
}

func (x *trial) after(d time.Duration) {
	x.now = x.now.Add(d)
	x.h.Tick(x.now)
}

func (x *trial) ill(words string) {
	x.t.Helper()
	if got := x.h.Trouble(x.now)["n2"]; got != words {
		x.t.Errorf("n2: %q, not %q", got, words)
	}
}

func TestANodeThatIsSlowBeyondItsSpeedRestsForLongerEachTime(t *testing.T) {
	x := newTrial(t)
	for range 8 {
		x.run("n3", time.Second)
	}
	for range drowsy - 1 {
		x.run("n2", 6*time.Second)
		x.ill("")
	}
	x.run("n2", 6*time.Second)
	x.ill("slow: jobs take 6 times as long as elsewhere; asked again in 1 s")
	for _, rest := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		rest *= time.Second
		x.after(rest - time.Millisecond)
		if x.start("n2", time.Second) {
			t.Fatalf("it got a job before %v were over", rest)
		}
		x.after(time.Millisecond)
		if x.h.void(x.h.nodes["n2"]); !x.start("n2", time.Second) {
			t.Fatalf("it got no job after %v", rest)
		}
		first := x.id
		if x.start("n2", time.Second) {
			t.Fatal("it got a second job before the first had gone well")
		}
		x.h.void(x.h.nodes["n2"])
		x.after(6 * time.Second)
		x.h.Ended(first, Renewal{}, x.now)
	}
	x.after(time.Minute)
	x.ill("slow: jobs take 6 times as long as elsewhere; gets one job at a time")
	x.run("n2", time.Second)
	x.ill("")
	for range 2 {
		if !x.start("n2", time.Second) {
			t.Error("it is well, and gets not two jobs")
		}
	}
}

func TestANodeIsAsSlowAsItsSpeedAndAsTheOthers(t *testing.T) {
	for _, test := range []struct {
		what        string
		speed       float64
		takes       time.Duration
		here, there time.Duration // what a job takes on n2 and on n3
		rests       bool
	}{
		{"as expected", 0, time.Second, time.Second, time.Second, false},
		{"six times", 0, time.Second, 6 * time.Second, time.Second, true},
		{"three times", 0, time.Second, 3 * time.Second, time.Second, false},
		{"six times, and it is known to be five times as slow", 0.2, time.Second, 6 * time.Second, time.Second, false},
		{"six times, as all", 0, time.Second, 6 * time.Second, 6 * time.Second, false},
		{"six times, of nothing", 0, 10 * time.Millisecond, 60 * time.Millisecond, 10 * time.Millisecond, false},
		{"six times, of what nobody knows", 0, 0, 6 * time.Second, time.Second, false},
		{"what was killed early elsewhere says nothing", 0, time.Second, time.Second, time.Millisecond, false},
	} {
		x := newTrial(t)
		n := upNode(2, "n2", 4)
		n.Speed = test.speed
		x.h.Update(n, x.now)
		for range 10 {
			for on, took := range map[mexec.NodeID]time.Duration{"n2": test.here, "n3": test.there} {
				if x.start(on, test.takes) {
					x.after(took)
					x.h.Ended(x.id, Renewal{}, x.now)
				}
			}
		}
		if got := x.h.nodes["n2"].rests > 0; got != test.rests {
			t.Errorf("%s: it rests: %v", test.what, got)
		}
		if x.h.nodes["n3"].rests > 0 {
			t.Errorf("%s: the other rests", test.what)
		}
	}
}

func TestANodeThatStartsNothingRests(t *testing.T) {
	x := newTrial(t)
	for i := range several {
		x.ill("")
		if !x.start("n2", 0) {
			t.Fatalf("job %d did not start", i)
		}
		x.h.Refused(x.id, RefusedJob, "/home/alice/x: no such file", x.now)
		x.h.Withdraw(x.id)
	}
	x.ill("3 jobs in a row failed to start; asked again in 1 s")
	if w := x.h.nodes["n2"].want(); len(w) != 0 {
		t.Errorf("it is asked for %v", w)
	}
	x.after(time.Second)
	if !x.start("n2", 0) {
		t.Fatal("it gets no other chance")
	}
	x.h.Runs(x.id)
	x.ill("")
}

func TestWhatWasNotTheNodesFaultIsNotHeldAgainstIt(t *testing.T) {
	for _, reach := range []Refusal{RefusedGrant, RefusedMemory, RefusedAlike, RefusedDir, RefusedProgram, RefusedUser} {
		x := newTrial(t)
		for range 5 {
			if x.start("n2", 0) {
				x.h.Refused(x.id, reach, "no", x.now)
				x.h.Take()
			}
			x.h.Withdraw(x.id)
			x.after(forget)
		}
		x.ill("")
	}
}

func TestANodeWhoseLinkBreaksUnderJobsRests(t *testing.T) {
	x := newTrial(t)
	for i := range several {
		x.ill("")
		if !x.start("n2", time.Second) {
			t.Fatalf("job %d did not start", i)
		}
		x.h.Down("n2", x.now, "connection reset", x.now)
		x.h.Ended(x.id, Renewal{}, x.now)
		x.h.Reset("n2", x.now)
	}
	x.ill("its link broke 3 times under jobs: connection reset; asked again in 1 s")
}

func TestANodeThatNoOtherCanStandInForDoesNotRest(t *testing.T) {
	x := newTrial(t)
	for range 8 {
		x.run("n3", time.Second)
	}
	for range drowsy {
		x.run("n2", 6*time.Second)
	}
	x.h.Submit(Job{ID: 1000, Nodes: nodes(t, "2")}, x.now)
	x.h.Granted("n2", Offer{Grants: []Grant{1000}, Lease: Lease}, x.now)
	if starts := x.h.Take().Starts; len(starts) != 1 || starts[0].Node != "n2" {
		t.Errorf("NODES=2: %v", starts)
	}
	for _, n := range []mexec.NodeID{"n3"} {
		x.h.Down(n, x.now.Add(time.Hour), "cut", x.now)
	}
	if !x.start("n2", time.Second) {
		t.Error("the only node that is left gets nothing")
	}
}

func TestPeopleHearWhyANodeIsNotChosen(t *testing.T) {
	x := newTrial(t)
	for range 3 {
		x.start("n2", 0)
		x.h.Refused(x.id, RefusedJob, "no such limit", x.now)
		x.h.Withdraw(x.id)
	}
	x.grant++
	x.h.Granted("n2", Offer{Grants: []Grant{x.grant}, Lease: Lease}, x.now)
	x.h.Submit(Job{ID: 1000}, x.now)
	x.h.Granted("n3", Offer{Grants: []Grant{1}, Lease: Lease}, x.now)
	starts := x.h.Take().Starts
	if len(starts) != 1 || !strings.Contains(fmt.Sprint(starts[0].Considered), "3 jobs in a row failed to start") {
		t.Errorf("%+v", starts)
	}
}
