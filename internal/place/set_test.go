package place

import (
	"fmt"
	"testing"
	"time"

	"mexec"
)

// answer grants at once what is wanted of nodes that are free, as their workers would.
func answer(h *Home, grant *Grant, started map[mexec.NodeID]int, slots int, now time.Time) (asked int) {
	for {
		todo := h.Take()
		if todo.Empty() {
			return asked
		}
		for _, s := range todo.Starts {
			started[s.Node]++
		}
		for _, w := range todo.Wants {
			asked++
			n := h.nodes[w.Node]
			for k := min(w.Slots(), slots) - n.held(); k > 0; k-- {
				*grant++
				h.Granted(w.Node, Offer{Grants: []Grant{*grant}, Lease: Lease}, now)
			}
		}
	}
}

func TestAHomeOfManyNodesDealsWithFew(t *testing.T) {
	h, _ := large(10_000)
	started, grant := map[mexec.NodeID]int{}, Grant(0)
	for id := range mexec.JobID(20) {
		h.Submit(Job{ID: id + 1}, t0)
		answer(h, &grant, started, 8, t0)
	}
	if s := h.sets[0]; len(s.members) != few || !s.mine || s.members[0] != h.me {
		t.Errorf("%d nodes", len(s.members))
	}
	if started["n1"] != 8 || h.Waiting() != 0 {
		t.Errorf("%v, %d wait", started, h.Waiting())
	}
}

func TestTheSetGrowsWithTheJobsAndShrinks(t *testing.T) {
	h, _ := large(10_000)
	started, grant := map[mexec.NodeID]int{}, Grant(0)
	const jobs = 3000
	for id := range mexec.JobID(jobs) {
		h.Submit(Job{ID: id + 1}, t0)
	}
	now := t0
	for range 20 {
		answer(h, &grant, started, 8, now)
		now = now.Add(100 * time.Millisecond)
		h.Tick(now)
	}
	if h.Waiting() != 0 {
		t.Fatalf("%d of %d jobs wait while thousands of nodes are free", h.Waiting(), jobs)
	}
	for id := range mexec.JobID(jobs) {
		h.Ended(id+1, Renewal{}, now)
	}
	for range 60 {
		now = now.Add(time.Second)
		h.Tick(now)
		h.Take()
	}
	if n := len(h.sets[0].members); n > 2*few {
		t.Errorf("%d nodes are still dealt with", n)
	}
}

func TestAWishFindsItsNodeAmongMany(t *testing.T) {
	h, view := large(10_000)
	for i, wish := range []string{"7777", "n[8888-8889]", "9999"} {
		h.Submit(Job{ID: mexec.JobID(i + 1), Nodes: nodes(t, wish)}, t0)
		w := wants(h.Take())
		delete(w, "n1")
		for id := range w {
			if !nodes(t, wish).Match(&h.nodes[id].Node) {
				t.Errorf("NODES=%s asks %s", wish, id)
			}
		}
		if len(w) == 0 {
			t.Errorf("NODES=%s asks nobody", wish)
		}
	}
	gone := append([]mexec.Node{}, view[:9000]...)
	h.View(gone, t0)
	h.Granted("n1", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
	if s := h.Take().Starts; len(s) != 1 || s[0].Job != 3 || s[0].Node != "n1" {
		t.Errorf("%+v: its node is gone", s)
	}
}

func TestTwoHomesDealWithDifferentNodes(t *testing.T) {
	a, _ := large(10_000)
	b := NewHome(upNode(1, "n1", 8), chance(2))
	var view []mexec.Node
	for _, n := range a.all {
		view = append(view, n.Node)
	}
	b.View(view, t0)
	a.Submit(Job{ID: 1}, t0)
	b.Submit(Job{ID: 1}, t0)
	same := 0
	for _, n := range a.sets[0].members[1:] {
		if _, ok := b.sets[0].has[b.nodes[n.Name]]; ok {
			same++
		}
	}
	if same > few/4 {
		t.Errorf("%d of %d", same, few)
	}
}

func TestTheLongestGoesFirstAndNoneWaitsForEver(t *testing.T) {
	h := three()
	order := func(now time.Time, submit ...Job) (ids string) {
		for i := range submit {
			submit[i].Nodes = nodes(t, "2")
			h.Submit(submit[i], now)
		}
		for h.Waiting() > 0 {
			h.Granted("n2", Offer{Grants: []Grant{1}, Lease: Lease}, now)
			for _, s := range h.Take().Starts {
				ids += fmt.Sprint(s.Job, " ")
			}
		}
		return ids
	}
	wall := func(id mexec.JobID, d time.Duration) Job { return Job{ID: id, Cost: mexec.Cost{Wall: d}} }
	if got := order(t0, wall(1, time.Second), wall(2, 3*time.Second), wall(3, 2*time.Second)); got != "2 3 1 " {
		t.Error(got)
	}
	h.Submit(Job{ID: 4, Nodes: nodes(t, "2")}, t0)
	if got := order(t0.Add(time.Minute), wall(5, 30*time.Second), wall(6, 2*time.Minute)); got != "6 4 5 " {
		t.Errorf("%s: after a minute of waiting only what takes longer than that goes before", got)
	}
}

// The bug: a set that nobody had been asked for in a minute was forgotten while a queue had it, and heard of no node any more. One whose wish nobody met was so
// at once, and jobs that came with it stayed here, whoever joined.
func TestAWishFindsTheNodesThatComeLater(t *testing.T) {
	for name, before := range map[string]time.Duration{"n2": 0, "n3": 2 * time.Minute} {
		h := NewHome(upNode(1, "n1", 2), chance(1))
		now, wish := t0, nodes(t, "n[2-9]")
		if before > 0 {
			h.Update(upNode(2, "n2", 2), now)
		}
		for end, id := now.Add(before), mexec.JobID(1); !now.After(end); id++ {
			if before > 0 { // as the grants of a steady build, which asks for none
				h.Granted("n2", Offer{Grants: []Grant{Grant(id)}, Lease: Lease}, now)
			}
			h.Submit(Job{ID: id, Nodes: wish}, now)
			h.Take()
			h.Granted("n1", Offer{Grants: []Grant{Grant(1000 + id)}, Lease: Lease}, now)
			h.Ended(id, Renewal{}, now)
			now = now.Add(time.Second)
			h.Tick(now)
		}
		if h.Waiting() != 0 {
			t.Fatalf("%d wait", h.Waiting())
		}
		h.Update(upNode(int(name[1]-'0'), mexec.NodeID(name), 2), now)
		h.Submit(Job{ID: 1000, Nodes: wish}, now)
		if w := wants(h.Take()); w[mexec.NodeID(name)] == 0 {
			t.Errorf("%s came, and is not asked: %v", name, w)
		}
	}
}
