package place

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mexec"
)

func upNode(number int, name mexec.NodeID, slots int) mexec.Node {
	return mexec.Node{Number: number, Name: name, Slots: slots, State: mexec.Up}
}

func chance(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// three returns a home n1 with two slots of its own and the nodes n2 and n3 with two each.
func three() *Home {
	h := NewHome(upNode(1, "n1", 2), chance(1))
	h.View([]mexec.Node{upNode(1, "n1", 2), upNode(2, "n2", 2), upNode(3, "n3", 2)}, t0)
	return h
}

func wants(todo Todo) map[mexec.NodeID]int {
	m := map[mexec.NodeID]int{}
	for _, w := range todo.Wants {
		m[w.Node] = w.Slots()
	}
	return m
}

func nodes(t *testing.T, s string) Nodes {
	t.Helper()
	n, err := ParseNodes(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOneJobAsksOnlyThisNodeWhileItIsFree(t *testing.T) {
	h := three()
	h.Submit(Job{ID: 1}, t0)
	w := wants(h.Take())
	if len(w) != 1 || w["n1"] != 1 {
		t.Errorf("wants %v", w)
	}
}

func TestJobsThatDoNotFitHereAskTheOthers(t *testing.T) {
	h := three()
	for id := range mexec.JobID(6) {
		h.Submit(Job{ID: id + 1}, t0)
	}
	w := wants(h.Take())
	if w["n1"] != 2 || w["n2"] != 2 || w["n3"] != 2 {
		t.Errorf("wants %v", w)
	}
}

// Each free node was asked, up to 63 of them, and gave: what went back was kept from others meanwhile.
func TestALoneJobAsksFewOfManyFreeNodes(t *testing.T) {
	view := []mexec.Node{upNode(1, "n1", 1)}
	view[0].Busy = 1
	for i := range 200 {
		view = append(view, upNode(i+2, mexec.NodeID(fmt.Sprint("n", i+2)), 4))
	}
	h := NewHome(view[0], chance(1))
	h.View(view, t0)
	h.Submit(Job{ID: 1}, t0)
	if w := wants(h.Take()); len(w) != spread {
		t.Errorf("%d nodes are asked", len(w))
	}
}

func TestJobStartsWhereAGrantComesFirst(t *testing.T) {
	h := three()
	h.Submit(Job{ID: 1}, t0)
	h.Granted("n3", Offer{Grants: []Grant{9}, Lease: Lease}, t0)
	todo := h.Take()
	if len(todo.Starts) != 1 || todo.Starts[0].Node != "n3" || todo.Starts[0].Grant != 9 {
		t.Errorf("starts %v", todo.Starts)
	}
}

// Nobody asks for a slot here as long as the grant of another node lies idle: each command of a chain went there, one after the other.
func TestALoneJobHasTheFreeSlotHereAndNotAnIdleGrantElsewhere(t *testing.T) {
	left := func() *Home { // n2's grant is idle
		h := three()
		h.Submit(Job{ID: 1, Nodes: nodes(t, "2")}, t0)
		h.Granted("n2", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
		h.Ended(1, Renewal{Grant: 2, Lease: Lease}, t0)
		h.Take()
		return h
	}
	h := left()
	h.Submit(Job{ID: 2}, t0)
	if todo := h.Take(); len(todo.Starts) != 0 || wants(todo)["n1"] != 1 {
		t.Errorf("%+v", todo)
	}
	if due := h.Due(); due.After(t0.Add(Patience)) || due.IsZero() {
		t.Errorf("looked at again at %v", due)
	}
	h.Granted("n1", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
	if todo := h.Take(); len(todo.Starts) != 1 || todo.Starts[0].Node != "n1" {
		t.Errorf("%+v", todo)
	}
	there := func(what string, h *Home) {
		t.Helper()
		if todo := h.Take(); len(todo.Starts) != 1 || todo.Starts[0].Node != "n2" {
			t.Errorf("%s: %+v", what, todo)
		}
	}
	h = left()
	h.Submit(Job{ID: 2}, t0)
	h.Take()
	h.Retry(t0.Add(Patience))
	there("none is given here", h)
	h = left()
	h.me.Busy = h.me.Slots
	h.Submit(Job{ID: 2}, t0)
	there("none is free here", h)
	h = left()
	fast := upNode(2, "n2", 2)
	fast.Speed = 2
	h.Updates([]mexec.Node{fast}, t0)
	h.Submit(Job{ID: 2, Cost: mexec.Cost{Wall: time.Second}}, t0)
	there("it takes half as long there", h)
}

// Two long jobs on a node take turns in its caches and often its cores, while other nodes do nothing: the two longest tests of a suite began on this one.
func TestALongJobRatherHasANodeThatIsUsedLess(t *testing.T) {
	second := func(wall time.Duration) *Home {
		h := three()
		for id := range mexec.JobID(2) {
			h.Submit(Job{ID: id + 1, Cost: sure(wall)}, t0)
			if id == 0 {
				h.Granted("n1", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
				if s := h.Take().Starts; len(s) != 1 || s[0].Node != "n1" {
					t.Fatalf("the first starts at %v", s)
				}
			}
		}
		return h
	}
	if w := wants(second(time.Second).Take()); w["n1"] != 0 || w["n2"] != 1 || w["n3"] != 1 {
		t.Errorf("a second long one asks %v", w)
	}
	if w := wants(second(time.Millisecond).Take()); w["n1"] != 2 || len(w) != 1 {
		t.Errorf("a second short one asks %v", w)
	}
	h := second(time.Second)
	h.Take()
	h.Retry(t0.Add(Patience))
	if w := wants(h.Take()); w["n1"] != 2 {
		t.Errorf("nobody gave, and it asks %v", w)
	}
}

// The first of a suite's tests, the longest, began where ctest runs, and shared that node with it and what it starts: it had 1.6 fair shares.
func TestTheFirstLongJobOfABuildIsNotForTheNodeThatHasItsTool(t *testing.T) {
	for _, c := range []struct {
		what  string
		wall  time.Duration
		build mexec.BuildID
		asked map[mexec.NodeID]int
	}{
		{"a long one of a build", time.Second, "b", map[mexec.NodeID]int{"n2": 1, "n3": 1}},
		{"a long one alone", time.Second, "", map[mexec.NodeID]int{"n1": 1}},
		{"a compiler", 100 * time.Millisecond, "b", map[mexec.NodeID]int{"n1": 1}},
		{"a short one", time.Millisecond, "b", map[mexec.NodeID]int{"n1": 1}},
		{"one that nobody knows", 0, "b", map[mexec.NodeID]int{"n1": 1}},
	} {
		h := three()
		h.Submit(Job{ID: 1, Build: c.build, Cost: sure(c.wall)}, t0)
		if w := wants(h.Take()); !maps.Equal(w, c.asked) {
			t.Errorf("%s asks %v", c.what, w)
		}
	}
	h := three()
	h.Submit(Job{ID: 1, Build: "b"}, t0)
	h.Submit(Job{ID: 2, Build: "b"}, t0)
	h.Granted("n1", Offer{Grants: []Grant{1, 2}, Lease: Lease}, t0)
	h.Ended(1, Renewal{Grant: 3, Lease: Lease}, t0)
	h.Ended(2, Renewal{Grant: 4, Lease: Lease}, t0)
	h.Granted("n2", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
	h.Take()
	h.Submit(Job{ID: 3, Build: "b", Cost: sure(time.Second)}, t0)
	if s := h.Take().Starts; len(s) != 1 || s[0].Node != "n2" {
		t.Errorf("with a grant of each, it starts at %+v", s)
	}
}

func TestSteadyJobsUseRenewedGrantsAndTellNothing(t *testing.T) {
	h := three()
	h.Submit(Job{ID: 1, Nodes: nodes(t, "2")}, t0)
	h.Granted("n2", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
	h.Take()
	for id := range mexec.JobID(50) {
		now := t0.Add(time.Duration(id) * time.Millisecond)
		h.Ended(id+1, Renewal{Grant: Grant(id + 2), Lease: Lease}, now)
		h.Submit(Job{ID: id + 2, Nodes: nodes(t, "2")}, now)
		todo := h.Take()
		if len(todo.Wants)+len(todo.Returns) != 0 || len(todo.Starts) != 1 {
			t.Fatalf("job %d: %+v", id+2, todo)
		}
	}
}

func TestIdleGrantsGoBackAfterTheirLeaseAndTheWantWithThem(t *testing.T) {
	h := three()
	h.Submit(Job{ID: 1, Nodes: nodes(t, "2")}, t0)
	h.Granted("n2", Offer{Grants: []Grant{1, 2}, Lease: Lease}, t0)
	h.Take()
	h.Tick(t0.Add(Lease))
	todo := h.Take()
	if len(todo.Returns) != 1 || todo.Returns[0].Grants[0] != 2 {
		t.Errorf("returns %v", todo.Returns)
	}
	h.Ended(1, Renewal{Grant: 3, Lease: Lease}, t0.Add(Lease))
	h.Tick(t0.Add(2 * Lease))
	todo = h.Take()
	if w := wants(todo); w["n2"] != 0 || len(todo.Wants) != 1 || len(todo.Returns) != 1 {
		t.Errorf("%+v", todo)
	}
}

func TestRefusedJobGoesElsewhereAndNeverBack(t *testing.T) {
	h := three()
	h.Submit(Job{ID: 1, Nodes: nodes(t, "2,3")}, t0)
	h.Granted("n2", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
	h.Take()
	h.Refused(1, RefusedJob, "no such program", t0)
	h.Granted("n2", Offer{Grants: []Grant{2}, Lease: Lease}, t0)
	if todo := h.Take(); len(todo.Starts) != 0 {
		t.Fatal("went back to the node that refused it")
	}
	h.Granted("n3", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
	h.Refused(1, RefusedJob, "no such program", t0)
	h.Granted("n1", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
	todo := h.Take()
	last := todo.Starts[len(todo.Starts)-1]
	if last.Node != "n1" || !strings.Contains(last.Why, "n3 refused: no such program") {
		t.Errorf("%+v", todo.Starts)
	}
}

func TestRefusedDirectoryIsNotAskedAgainForAWhile(t *testing.T) {
	h := three()
	dir := Job{ID: 1, UID: 7, Dir: [2]uint64{1, 2}, Nodes: nodes(t, "2")}
	h.Submit(dir, t0)
	h.Granted("n2", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
	h.Refused(1, RefusedDir, "another directory", t0)
	h.Take()
	dir.ID = 2
	h.Submit(dir, t0)
	if todo := h.Take(); wants(todo)["n2"] != 0 {
		t.Error("the same directory was offered again")
	}
	other := dir
	other.ID, other.Dir = 3, [2]uint64{1, 3}
	h.Granted("n2", Offer{Grants: []Grant{2}, Lease: Lease}, t0)
	h.Submit(other, t0)
	if todo := h.Take(); len(todo.Starts) != 1 || todo.Starts[0].Job != 3 {
		t.Errorf("another directory was not: %+v", todo)
	}
	h.Tick(t0.Add(forget))
	dir.ID = 4
	h.Submit(dir, t0.Add(forget))
	if w := wants(h.Take()); w["n2"] == 0 {
		t.Error("a refusal is never forgotten")
	}
}

func TestNoNodeOfTheWishUpMeansHere(t *testing.T) {
	h := three()
	h.Submit(Job{ID: 1, Nodes: nodes(t, "17-19")}, t0)
	h.Granted("n1", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
	todo := h.Take()
	if len(todo.Starts) != 1 || todo.Starts[0].Node != "n1" || !strings.Contains(todo.Starts[0].Why, "NODES=17-19") {
		t.Errorf("%+v", todo.Starts)
	}
}

func TestDownNodeCostsNothingMore(t *testing.T) {
	h := three()
	h.Submit(Job{ID: 1, Nodes: nodes(t, "2")}, t0)
	h.Take()
	h.Down("n2", t0.Add(time.Minute), "connection refused", t0)
	if w := wants(h.Take()); w["n1"] != 1 {
		t.Errorf("wants %v: the job must run here", w)
	}
	h.Submit(Job{ID: 2, Nodes: nodes(t, "2")}, t0)
	if w := wants(h.Take()); w["n2"] != 0 {
		t.Error("a node that is down was asked again")
	}
}

func TestWithdrawnJobStartsNowhere(t *testing.T) {
	h := three()
	h.Submit(Job{ID: 1}, t0)
	h.Withdraw(1)
	h.Granted("n1", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
	if todo := h.Take(); len(todo.Starts) != 0 {
		t.Errorf("%+v", todo.Starts)
	}
}

func BenchmarkSubmitAndEnd(b *testing.B) {
	h := three()
	h.Granted("n1", Offer{Grants: []Grant{1}, Lease: time.Hour}, t0)
	for id := mexec.JobID(1); b.Loop(); id++ {
		h.Submit(Job{ID: id}, t0)
		h.Ended(id, Renewal{Grant: Grant(id + 1), Lease: time.Hour}, t0)
		h.Take()
	}
}

func TestALostJobComesBeforeOthersAndNotToTheNodesThatLostIt(t *testing.T) {
	h := three()
	h.Submit(Job{ID: 1, Nodes: nodes(t, "2,3")}, t0)
	h.Granted("n2", Offer{Grants: []Grant{7}, Lease: Lease}, t0)
	if s := h.Take().Starts; len(s) != 1 || s[0].Node != "n2" {
		t.Fatalf("%v", s)
	}
	h.Ended(1, Renewal{}, t0)
	h.Submit(Job{ID: 2, Nodes: nodes(t, "2,3")}, t0)
	h.Again(Job{ID: 1, Nodes: nodes(t, "2,3")}, []mexec.NodeID{"n2"}, t0)
	h.Granted("n2", Offer{Grants: []Grant{8}, Lease: Lease}, t0)
	h.Granted("n3", Offer{Grants: []Grant{9}, Lease: Lease}, t0)
	if s := h.Take().Starts; len(s) != 2 || s[0].Job != 2 || s[0].Node != "n2" || s[1].Job != 1 || s[1].Node != "n3" {
		t.Errorf("%v", s)
	}
	h.Ended(1, Renewal{}, t0)
	h.Again(Job{ID: 1, Nodes: nodes(t, "2,3")}, []mexec.NodeID{"n2", "n3"}, t0)
	h.Take()
	h.Granted("n1", Offer{Grants: []Grant{10}, Lease: Lease}, t0)
	if s := h.Take().Starts; len(s) != 1 || s[0].Node != "n1" || s[0].Why != "n3 lost it" {
		t.Errorf("%v", s)
	}
}

func TestANodeWithoutMemoryIsNotTakenForFree(t *testing.T) {
	const gib = 1 << 30
	for _, test := range []struct {
		busy         int
		memory, left int64
		free         int
	}{
		{0, 0, 0, 8},
		{2, 0, 0, 6},
		{2, 4 * gib, 3 * gib, 6},
		{2, 4 * gib, gib / 2, 2},
		{2, gib, gib / 2, 4},
		{2, 4 * gib, 0, 0},
		{2, 4 * gib, -1, 6}, // nobody knows
		{0, 4 * gib, 0, 8},  // whoever comes may have what there is
	} {
		n := node{Node: upNode(2, "n2", 8)}
		n.Busy, n.Memory, n.Free = test.busy, test.memory, test.left
		if got := n.free(); got != test.free {
			t.Errorf("%+v: %d free", test, got)
		}
	}
}

// A job that is refused for want of memory goes back to the same node with the memory that it needs, where that is known.
func TestAJobThatFindsTooLittleMemoryAsksForAGrantThatComesWithIt(t *testing.T) {
	const gib = 1 << 30
	for _, known := range []bool{true, false} {
		h := NewHome(upNode(1, "n1", 0), chance(1))
		n := upNode(2, "n2", 4)
		if known {
			n.Memory, n.Free = 4*gib, 2*gib
		}
		h.View([]mexec.Node{upNode(1, "n1", 0), n}, t0)
		h.Submit(Job{ID: 1, Nodes: nodes(t, "2"), Cost: mexec.Cost{Runs: 1, Memory: 2 * gib}}, t0)
		h.Granted("n2", Offer{Grants: []Grant{1}, Memory: gib, Lease: Lease}, t0)
		if s := h.Take().Starts; len(s) != 1 || s[0].Memory != 2*gib {
			t.Fatalf("starts %v", s)
		}
		h.Refused(1, RefusedMemory, "too little memory is free", t0)
		todo := h.Take()
		if !known { // how much to ask for is not known either
			if wants(todo)["n2"] != 0 || wants(todo)["n1"] == 0 {
				t.Errorf("it is to go back to a node that says nothing of its memory: %+v", todo)
			}
			continue
		}
		if w := h.nodes["n2"].want(); len(w) != 1 || w[0].Slots == 0 || w[0].Memory != 2*gib {
			t.Fatalf("wants %+v", w)
		}
		h.Granted("n2", Offer{Grants: []Grant{2}, Memory: gib, Lease: Lease}, t0)
		if s := h.Take().Starts; len(s) != 0 {
			t.Errorf("with a grant that has not its memory it starts: %v", s)
		}
		h.Granted("n2", Offer{Grants: []Grant{3}, Memory: 2 * gib, Lease: Lease}, t0)
		if s := h.Take().Starts; len(s) != 1 || s[0].Grant != 3 {
			t.Errorf("starts %v", s)
		}
		if h.nodes["n2"].ill != "" {
			t.Error("it is held against the node")
		}
	}
}

// After a daemon was stopped for half a minute a build had two shares, of which a worker heard the last one only.
func TestABuildHasOneShareHoweverLateATickComes(t *testing.T) {
	h := three()
	h.Submit(Job{ID: 1, Build: "b", Nodes: nodes(t, "2")}, t0)
	h.Tick(t0)
	late := t0.Add(30 * time.Second)
	h.Granted("n2", Offer{Grants: []Grant{1}, Lease: Lease}, late)
	h.Ended(1, Renewal{}, late)
	h.Tick(late)
	h.Take()
	h.Submit(Job{ID: 2, Build: "b", Nodes: nodes(t, "2")}, late)
	h.Submit(Job{ID: 3, Build: "b", Nodes: nodes(t, "2-3")}, late)
	for _, w := range h.Take().Wants {
		if len(w.Shares) != 1 {
			t.Errorf("%s is told of %+v", w.Node, w.Shares)
		}
	}
}
