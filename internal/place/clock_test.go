package place

import (
	"testing"
	"time"
	"unsafe"

	"mexec"
)

// setBack is a moment as it is called when somebody has set the clock back by an hour: time goes on as before, which Sub knows. Package time makes no such Time but by Now; its seconds
// are those from bit 30 on.
func setBack(t time.Time) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) -= 3600 << 30
	return t
}

func TestAClockThatIsSetIsNoTimeThatPassed(t *testing.T) {
	now := time.Now()
	if back := setBack(now); now.Sub(back) != 0 || now.Unix()-back.Unix() != 3600 {
		t.Fatalf("%v is %v", now, back)
	}
}

// After the clock was set back by an hour, jobs that had waited were passed by all that came in that hour.
func TestWhoWaitedKeepsHisTurnWhenTheClockIsSetBack(t *testing.T) {
	h, now := three(), time.Now()
	h.Submit(Job{ID: 1, Nodes: nodes(t, "2")}, now)
	h.Submit(Job{ID: 2, Nodes: nodes(t, "2")}, setBack(now.Add(time.Second)))
	h.Granted("n2", Offer{Grants: []Grant{1}, Lease: Lease}, setBack(now.Add(2*time.Second)))
	if s := h.Take().Starts; len(s) != 1 || s[0].Job != 1 {
		t.Errorf("%+v", s)
	}
}

// Memory was kept for a large job an hour late, and meanwhile small ones passed it.
func TestMemoryIsKeptForWhoWaitedWhenTheClockIsSetBack(t *testing.T) {
	s, now := NewSlots(4), time.Now()
	s.Limit(4, 100, now)
	want := func(home mexec.NodeID, memory int64, now time.Time) {
		s.Want(home, []Share{{UID: 1, Build: mexec.BuildID(home), Slots: 3, Memory: memory}}, now)
	}
	want("small", 40, now)
	ids := granted(s, "small") // two, for 80 bytes
	for _, id := range ids {
		s.Start("small", id, 1, "small", 0, now)
	}
	want("large", 100, now)
	if got := s.End(ids[0], setBack(now.Add(keep))); got.Grant != 0 {
		t.Errorf("%+v though the memory is kept", got)
	}
}
