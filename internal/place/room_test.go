package place

import (
	"testing"
	"time"

	"mexec"
)

func TestRoomIsWhatIsHeldAndWhatIsBelievedFree(t *testing.T) {
	const uid = 7
	for _, test := range []struct {
		what, wish string
		busy       int // slots of n1
		change     func(h *Home)
		room       int
	}{
		{"all is free", "", 0, func(h *Home) {}, 6},
		{"only what NODES names", "2", 0, func(h *Home) {}, 2},
		{"NODES names nobody who is there: all stays here", "9", 0, func(h *Home) {}, 2},
		{"others hold this node's slots", "", 2, func(h *Home) {}, 4},
		{"never less than one", "1", 2, func(h *Home) {}, 1},
		{"others hold slots of n2", "", 0, func(h *Home) {
			n := upNode(2, "n2", 2)
			n.Busy = 1
			h.View([]mexec.Node{upNode(1, "n1", 2), n, upNode(3, "n3", 2)}, t0)
		}, 5},
		{"a job runs on n2, which is busy with it, and a grant lies idle there", "", 0, func(h *Home) {
			h.Submit(Job{ID: 1, Nodes: nodes(t, "2")}, t0)
			h.Granted("n2", Offer{Grants: []Grant{1, 2}, Lease: Lease}, t0)
			n := upNode(2, "n2", 2)
			n.Busy = 2
			h.View([]mexec.Node{upNode(1, "n1", 2), n, upNode(3, "n3", 2)}, t0)
		}, 6},
		{"a command here has called for others and lent its slot", "", 0, func(h *Home) {
			h.Submit(Job{ID: 1, Nodes: nodes(t, "1")}, t0)
			h.Granted("n1", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
		}, 7},
		{"n3 is down", "", 0, func(h *Home) { h.Down("n3", t0.Add(time.Second), "cut", t0) }, 4},
		{"n3 was down", "", 0, func(h *Home) { h.Down("n3", t0, "cut", t0) }, 6},
		{"n3's clock is off", "", 0, func(h *Home) {
			n := upNode(3, "n3", 2)
			n.State = mexec.Skewed
			h.View([]mexec.Node{upNode(1, "n1", 2), upNode(2, "n2", 2), n}, t0)
		}, 4},
		{"n2 has refused this user's directory", "", 0, func(h *Home) {
			h.Submit(Job{ID: 1, UID: uid, Nodes: nodes(t, "2")}, t0)
			h.Granted("n2", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
			h.Refused(1, RefusedDir, "not mounted", t0)
		}, 4},
		{"n2 has refused somebody else's", "", 0, func(h *Home) {
			h.Submit(Job{ID: 1, UID: 8, Nodes: nodes(t, "2")}, t0)
			h.Granted("n2", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
			h.Refused(1, RefusedDir, "not mounted", t0)
		}, 6},
		{"n2 refuses some, and runs others", "", 0, func(h *Home) {
			h.Submit(Job{ID: 1, UID: uid, Nodes: nodes(t, "2")}, t0)
			h.Granted("n2", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
			h.Refused(1, RefusedProgram, "no such file", t0)
			h.Submit(Job{ID: 2, UID: uid, Nodes: nodes(t, "2"), Prog: [2]uint64{1, 1}}, t0)
			h.Granted("n2", Offer{Grants: []Grant{2}, Lease: Lease}, t0)
		}, 5},
	} {
		h := three()
		test.change(h)
		if got := h.Room(nodes(t, test.wish), uid, test.busy, t0); got != test.room {
			t.Errorf("%s: room %d, not %d", test.what, got, test.room)
		}
	}
}
