package place

import (
	"testing"
	"time"

	"mexec"
)

// Three jobs of one kind come before anybody knows it. One ends: the others are asked for, and started, as what they are known to be by then.
func TestWhatIsLearnedWhileAJobWaitsCountsForIt(t *testing.T) {
	h := three()
	for id := range mexec.JobID(3) {
		h.Submit(Job{ID: id + 1, Nodes: nodes(t, "2")}, t0)
	}
	h.Take()
	h.Granted("n2", Offer{Grants: []Grant{1}, Memory: 100, Lease: Lease}, t0)
	if todo := h.Take(); len(todo.Starts) != 1 || todo.Starts[0].Job != 1 || todo.Starts[0].Memory != 0 {
		t.Fatalf("%+v", todo)
	}
	h.Learned(1, mexec.Cost{Runs: 1, Memory: 9}, t0) // it runs, and stays as it is
	for _, id := range []mexec.JobID{2, 3} {
		h.Learned(id, mexec.Cost{Runs: 1, Wall: time.Duration(id) * time.Second, Memory: 700}, t0)
	}
	memory := int64(0)
	for _, w := range h.Take().Wants {
		for _, s := range w.Shares {
			memory = s.Memory
		}
	}
	if memory != 700 {
		t.Errorf("slots with %d bytes are wanted", memory)
	}
	h.Ended(1, Renewal{Grant: 2, Memory: 700, Lease: Lease}, t0)
	if todo := h.Take(); len(todo.Starts) != 1 || todo.Starts[0].Job != 3 || todo.Starts[0].Memory != 700 {
		t.Errorf("the longer one did not start with its memory: %+v", todo)
	}
	h.Learned(99, mexec.Cost{}, t0)
}
