package place

import (
	"testing"
	"time"

	"mexec"
)

func TestAJobStragglesThatTakesFarTooLongWhileAnotherNodeIsFree(t *testing.T) {
	const wall = 2 * time.Second
	known := mexec.Cost{Runs: 5, Wall: wall}
	late := 3*wall + 2*hop + time.Second + 1
	for _, c := range []struct {
		what   string
		cost   mexec.Cost
		wish   string
		ran    time.Duration
		change func(*Home)
		want   bool
	}{
		{"far too long", known, "", late, nil, true},
		{"not yet", known, "", late - 1, nil, false},
		{"nobody knows how long it takes", mexec.Cost{}, "", time.Hour, nil, false},
		{"it is hardly known", mexec.Cost{Runs: 2, Wall: wall}, "", time.Hour, nil, false},
		{"it runs here", known, "1", time.Hour, nil, false},
		{"no other node may have it", known, "2", time.Hour, nil, false},
		{"another may", known, "2,3", late, nil, true},
		{"that one is busy", known, "2,3", late, func(h *Home) {
			n := upNode(3, "n3", 2)
			n.Busy = 2
			h.View([]mexec.Node{upNode(1, "n1", 2), upNode(2, "n2", 2), n}, t0)
		}, false},
		{"that one is down", known, "2,3", late, func(h *Home) { h.Down("n3", t0.Add(time.Hour), "cut", t0) }, false},
		{"its node is known to be slow", known, "", late, func(h *Home) {
			n := upNode(2, "n2", 2)
			n.Speed = 0.5
			h.View([]mexec.Node{upNode(1, "n1", 2), n, upNode(3, "n3", 2)}, t0)
		}, false},
		{"its node is known to be very slow, and it has only begun", known, "", time.Second, func(h *Home) {
			n := upNode(2, "n2", 2)
			n.Speed = 0.2
			h.View([]mexec.Node{upNode(1, "n1", 2), n, upNode(3, "n3", 2)}, t0)
		}, true},
		{"its node is known to be very slow, and it is nearly done", known, "", 6 * time.Second, func(h *Home) {
			n := upNode(2, "n2", 2)
			n.Speed = 0.2
			h.View([]mexec.Node{upNode(1, "n1", 2), n, upNode(3, "n3", 2)}, t0)
		}, false},
		{"the other one is ill", known, "2,3", late, func(h *Home) { h.rest(h.nodes["n3"], "slow", t0) }, false},
		{"others wait", known, "", late, func(h *Home) { h.Submit(Job{ID: 2, Nodes: nodes(t, "3")}, t0) }, false},
	} {
		h := three()
		wish := c.wish
		if wish == "" {
			wish = "1-3"
		}
		h.Submit(Job{ID: 1, Nodes: nodes(t, wish), Cost: c.cost}, t0)
		node := mexec.NodeID("n2")
		if c.wish == "1" {
			node = "n1"
		}
		h.Granted(node, Offer{Grants: []Grant{1}, Lease: Lease}, t0)
		if s := h.Take().Starts; len(s) != 1 || s[0].Node != node {
			t.Fatalf("%s: %+v", c.what, s)
		}
		if c.change != nil {
			c.change(h)
		}
		if got := h.Straggles(1, t0.Add(c.ran)); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
	if three().Straggles(7, t0) {
		t.Error("a job that there is not")
	}
}
