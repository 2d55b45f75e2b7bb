package place

import (
	"math/rand/v2"
	"testing"
	"time"

	"mexec"
)

func hosted(slots, most int) *Slots {
	s := NewSlots(slots)
	s.Host("host")
	s.Guests(most, t0)
	return s
}

func TestGuestsHoldNoMoreThanTheyMayAndTheHostHasTheRest(t *testing.T) {
	s := hosted(4, 2)
	s.Want("a", of(4), t0)
	s.Want("b", of(4), t0)
	s.Want("host", of(4), t0)
	offers, _ := s.Take()
	got := map[mexec.NodeID]int{}
	for _, o := range offers {
		got[o.Home] += len(o.Grants)
	}
	if got["a"]+got["b"] != 2 || got["host"] != 2 || s.Guest() != 2 {
		t.Errorf("%v, guests hold %d", got, s.Guest())
	}
}

func TestABoundThatShrinksEndsNothingAndRenewsNothing(t *testing.T) {
	s := NewSlots(3)
	s.Host("host")
	s.Want("a", of(3), t0)
	ids := granted(s, "a")
	s.Start("a", ids[0], 0, "", 0, t0)
	s.Start("a", ids[1], 0, "", 0, t0)
	later := t0.Add(time.Second)
	s.Guests(0, later)
	if _, recalls := s.Take(); len(recalls) != 1 || len(recalls[0].Grants) != 1 || recalls[0].Grants[0] != ids[2] {
		t.Errorf("recalled %v: the idle one is to come back", recalls)
	}
	s.Return("a", ids[2:], later)
	if s.Guest() != 2 {
		t.Errorf("guests hold %d, 2 jobs run", s.Guest())
	}
	if s.End(ids[0], later).Grant != 0 {
		t.Error("a slot that guests may not have was renewed")
	}
	s.Cancel(ids[1], later)
	s.Tick(later)
	if n := len(granted(s, "a")); n != 0 || s.Guest() != 0 {
		t.Errorf("%d granted, guests hold %d", n, s.Guest())
	}
	s.Want("host", of(3), later)
	if n := len(granted(s, "host")); n != 3 {
		t.Errorf("the host got %d of its 3", n)
	}
	s.Want("host", of(0), later)
	s.Return("host", []Grant{4, 5, 6}, later)
	s.Guests(3, later)
	if n := len(granted(s, "a")); n == 0 {
		t.Error("nothing for the guest that still wants, though it may again")
	}
}

// A host's idle grants are nothing to guests who may have no more, and are not asked for on their behalf.
func TestTheHostsIdleGrantsStayWhereGuestsMayHaveNoMore(t *testing.T) {
	s := hosted(2, 0)
	s.Want("host", of(2), t0)
	granted(s, "host")
	s.Want("a", of(2), t0.Add(time.Second))
	if _, recalls := s.Take(); len(recalls) != 0 {
		t.Errorf("%v", recalls)
	}
}

// Whatever happens, what is counted for guests is what they hold, and none is granted more than they may have.
func TestAnyHistoryCountsTheGuests(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		s, now := NewSlots(1+r.IntN(6)), t0
		s.Host("host")
		homes := []mexec.NodeID{"host", "a", "b"}
		held := map[Grant]mexec.NodeID{}
		running := map[Grant]bool{}
		drop := func(id Grant) {
			delete(held, id)
			delete(running, id)
		}
		for range 300 {
			now = now.Add(time.Duration(r.IntN(40)) * time.Millisecond) // never so long that a grant is void
			home := homes[r.IntN(3)]
			before := s.Guest()
			var id Grant
			for k, h := range held {
				if h == home && (id == 0 || k < id) {
					id = k
				}
			}
			var renewed Renewal
			switch r.IntN(6) {
			case 0:
				s.Guests(r.IntN(7), now)
			case 1, 2:
				s.Want(home, of(r.IntN(6)), now)
			case 3:
				if id != 0 && !running[id] && start(s, home, id) {
					running[id] = true
				}
			case 4:
				if id != 0 && running[id] {
					drop(id)
					if renewed = s.End(id, now); renewed.Grant != 0 {
						held[renewed.Grant] = home
					}
				}
			case 5:
				if id != 0 && !running[id] {
					drop(id)
					s.Return(home, []Grant{id}, now)
				}
			}
			offers, _ := s.Take()
			more := false
			for _, o := range offers {
				for _, g := range o.Grants {
					held[g] = o.Home
					more = more || o.Home != "host"
				}
			}
			more = more || renewed.Grant != 0 && home != "host"
			guests := 0
			for _, h := range held {
				if h != "host" {
					guests++
				}
			}
			if s.Guest() != guests || more && s.guests.bound && guests > s.guests.most && guests > before {
				t.Fatalf("seed %d: guests hold %d, counted are %d, of %d", seed, guests, s.Guest(), s.guests.most)
			}
			if s.guests.bound && more && s.guests.over() > 0 {
				t.Fatalf("seed %d: granted with %d beyond what guests may have", seed, s.guests.over())
			}
		}
	}
}
