package place

import (
	"testing"
	"time"

	"mexec"
)

// Others have half of a node's memory, and one home asks for more than the rest: the node lay idle for half a minute before each such job, though another home had jobs for all slots.
func TestWhatOthersHaveIsNotWaitedForWithIdleSlots(t *testing.T) {
	const gib = 1 << 30
	const span = 5 * time.Minute
	s, now := NewSlots(4), t0
	s.Limit(4, 8*gib, now)
	uid, build := map[mexec.NodeID]uint32{"small": 1, "large": 2}, map[mexec.NodeID]mexec.BuildID{"small": "s", "large": "l"}
	ends := map[Grant]time.Time{} // of jobs that run
	ran, busy := map[mexec.NodeID]int{}, time.Duration(0)
	for empty := now; now.Sub(t0) < span; {
		now = now.Add(50 * time.Millisecond)
		busy += time.Duration(len(ends)) * 50 * time.Millisecond
		if len(ends) > 0 {
			empty = now
		}
		s.Squeeze(4*gib, now.Sub(empty) > hope, now) // as the warden says
		s.Want("small", []Share{{UID: 1, Build: "s", Slots: 8, Memory: gib / 2}}, now)
		s.Want("large", []Share{{UID: 2, Build: "l", Slots: 8, Memory: 6 * gib}}, now)
		for id, end := range ends {
			if !now.Before(end) {
				delete(ends, id)
				s.Cancel(id, now)
			}
		}
		offers, _ := s.Take()
		for _, o := range offers {
			for _, id := range o.Grants {
				if s.Start(o.Home, id, uid[o.Home], build[o.Home], o.Memory, now) == Started {
					ends[id] = now.Add(time.Second)
					ran[o.Home]++
				}
			}
		}
		if s.Reserved() > 4*gib && s.Busy() > 1 {
			t.Fatalf("%d bytes by %d jobs", s.Reserved(), s.Busy())
		}
	}
	if busy < 4*span*9/10 {
		t.Errorf("slots were in use for %v of %v: %v", busy, 4*span, ran)
	}
	if ran["large"] < 5 {
		t.Errorf("%v: the large ones starve", ran)
	}
}
