package place

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mexec"
)

var t0 = time.Unix(1_000_000, 0)

// Somebody else has most of a node's memory. A job that nobody knows needs a slot's share of the whole as before, and not one of what is left.
func TestWhatOthersHaveIsPromisedToNobody(t *testing.T) {
	const gib = 1 << 30
	s := NewSlots(4)
	s.Limit(4, 4*gib, t0)
	s.Squeeze(gib, true, t0)
	s.Want("a", of(4), t0)
	if s.Busy() != 4 || s.Reserved() != gib || s.Spare() != 0 || s.Memory() != 4*gib {
		t.Errorf("%d slots, %d bytes, %d to spare", s.Busy(), s.Reserved(), s.Spare())
	}
	s = NewSlots(4)
	s.Limit(4, 4*gib, t0)
	s.Squeeze(gib/2, true, t0)
	s.Want("a", of(4), t0)
	if s.Busy() != 2 {
		t.Errorf("%d slots of a quarter of a GiB in half a GiB", s.Busy())
	}
	s.Squeeze(8*gib, true, t0)
	if s.Busy() != 4 || s.Spare() != 3*gib {
		t.Errorf("%d slots, %d to spare, when the others are gone", s.Busy(), s.Spare())
	}
	s = NewSlots(4)
	s.Limit(4, 4*gib, t0)
	s.Squeeze(1, false, t0)
	s.Want("a", of(4), t0)
	if s.Busy() != 0 {
		t.Errorf("%d slots where there is no memory", s.Busy())
	}
	s.Squeeze(1, true, t0)
	if s.Busy() != 1 {
		t.Errorf("%d slots where one may start nevertheless", s.Busy())
	}
}

// of is a want of so many slots for nobody in particular.
func of(slots int) []Share { return []Share{{UID: Nobody, Slots: slots}} }

func start(s *Slots, home mexec.NodeID, id Grant) bool {
	return s.Start(home, id, Nobody, "", 0, t0) == Started
}

func granted(s *Slots, home mexec.NodeID) []Grant {
	offers, _ := s.Take()
	var ids []Grant
	for _, o := range offers {
		if o.Home == home {
			ids = append(ids, o.Grants...)
		}
	}
	return ids
}

func TestNoMoreGrantsThanSlots(t *testing.T) {
	s := NewSlots(3)
	s.Want("a", of(100), t0)
	if n := len(granted(s, "a")); n != 3 || s.Free() != 0 {
		t.Errorf("%d grants of 3 slots, %d free", n, s.Free())
	}
}

func TestHomesShareSlotsEvenly(t *testing.T) {
	s := NewSlots(4)
	s.Want("greedy", of(100), t0)
	ids := granted(s, "greedy")
	for _, id := range ids {
		start(s, "greedy", id)
	}
	s.Want("late", of(100), t0)
	for _, id := range ids[:2] {
		if renewed := s.End(id, t0).Grant; renewed != 0 {
			t.Errorf("slot went back to the home that holds %d", len(ids))
		}
	}
	if n := len(granted(s, "late")); n != 2 {
		t.Errorf("the late home got %d of 4 slots", n)
	}
	if s.End(ids[2], t0).Grant == 0 {
		t.Error("at equal shares a home keeps its slot")
	}
}

func TestSlotOfAnEndedJobGoesBackUnaskedWhereNobodyWaits(t *testing.T) {
	s := NewSlots(1)
	s.Want("a", of(1), t0)
	id := granted(s, "a")[0]
	start(s, "a", id)
	s.Want("a", of(0), t0)
	if s.End(id, t0).Grant == 0 {
		t.Error("no renewed grant")
	}
}

// A renewed grant that no message carries was a slot lost for two leases, after each refusal and each caller that was killed.
func TestSlotOfACancelledJobIsOfferedAgainAtOnce(t *testing.T) {
	s := NewSlots(1)
	s.Want("a", of(1), t0)
	id := granted(s, "a")[0]
	start(s, "a", id)
	s.Cancel(id, t0)
	if got := granted(s, "a"); len(got) != 1 || got[0] == id {
		t.Errorf("offered %v after %d was cancelled", got, id)
	}
}

func TestWhatOccupiesASlotUnaskedIsCounted(t *testing.T) {
	s := NewSlots(2)
	ids := []Grant{s.Occupy("a", t0), s.Occupy("a", t0), s.Occupy("a", t0)}
	s.Want("a", of(2), t0)
	for i, want := range []int{0, 1, 1} { // of three, two slots; then each that ends makes room for one
		s.Cancel(ids[i], t0)
		if got := granted(s, "a"); len(got) != want {
			t.Errorf("%d grants after %d of 3 ended", len(got), i+1)
		}
	}
}

func TestIdleGrantIsVoidAfterTwoLeases(t *testing.T) {
	s := NewSlots(1)
	s.Want("a", of(1), t0)
	id := granted(s, "a")[0]
	s.Want("a", of(0), t0)
	s.Tick(t0.Add(Void - 1))
	if s.Free() != 0 {
		t.Error("taken back too early")
	}
	s.Tick(t0.Add(Void))
	if s.Free() != 1 || start(s, "a", id) {
		t.Error("a void grant still holds a slot or starts a job")
	}
}

func TestIdleGrantIsRecalledWhenAnotherWaits(t *testing.T) {
	s := NewSlots(1)
	s.Want("a", of(1), t0)
	id := granted(s, "a")[0]
	s.Want("b", of(1), t0.Add(onTheWay))
	_, recalls := s.Take()
	if len(recalls) != 1 || recalls[0].Home != "a" || !slices.Equal(recalls[0].Grants, []Grant{id}) {
		t.Fatalf("recalls %v", recalls)
	}
	s.Want("a", of(0), t0)
	s.Return("a", []Grant{id}, t0)
	if len(granted(s, "b")) != 1 {
		t.Error("b got nothing")
	}
}

func TestStrangersGrantStartsNothing(t *testing.T) {
	s := NewSlots(2)
	s.Want("a", of(1), t0)
	id := granted(s, "a")[0]
	if start(s, "b", id) || start(s, "a", id+1) || !start(s, "a", id) || start(s, "a", id) {
		t.Error("a grant is for its home, and once")
	}
	s.Return("a", []Grant{id}, t0)
	if s.Free() != 1 {
		t.Error("a running job's slot was given back")
	}
}

func TestCoordinatorsSlotGoesToOthers(t *testing.T) {
	s := NewSlots(1)
	s.Want("a", of(2), t0)
	id := granted(s, "a")[0]
	start(s, "a", id)
	s.Lend(id, t0)
	more := granted(s, "a")
	if len(more) != 1 {
		t.Fatalf("the job that waits for its own jobs holds the only slot")
	}
	s.End(id, t0)
	if s.Busy() != 1 {
		t.Errorf("%d busy, want the one grant", s.Busy())
	}
}

// The want of a home counts its coordinator. Granted for that, the slot would go to and fro with nothing to run.
func TestLentSlotIsNotGrantedForTheCoordinatorItself(t *testing.T) {
	s := NewSlots(1)
	s.Want("a", of(1), t0)
	id := granted(s, "a")[0]
	start(s, "a", id)
	s.Lend(id, t0)
	if n := len(granted(s, "a")); n != 0 {
		t.Errorf("%d grants for a home that wants no more than it has", n)
	}
	s.Want("b", of(1), t0)
	if n := len(granted(s, "b")); n != 1 {
		t.Errorf("b got %d of the slot that is lent", n)
	}
}

func TestGoneHomesJobsHoldTheirSlotsUntilTheyEnd(t *testing.T) {
	s := NewSlots(2)
	s.Want("a", of(2), t0)
	ids := granted(s, "a")
	start(s, "a", ids[0])
	s.Gone("a", t0)
	if s.Busy() != 1 {
		t.Errorf("%d busy, want the running one", s.Busy())
	}
	s.Want("a", of(2), t0)
	if s.End(ids[0], t0).Grant != 0 {
		t.Error("an old life's job renewed a grant for the new one")
	}
	if n := len(granted(s, "a")); n != 2 {
		t.Errorf("the home that came back got %d of 2", n)
	}
}

// Whatever homes do, in any order: the books balance and nothing counts past the total.
func TestAnyHistoryKeepsTheBooks(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		s, now := NewSlots(1+r.IntN(6)), t0
		homes := []mexec.NodeID{"a", "b", "c"}
		idle, running := map[Grant]mexec.NodeID{}, map[Grant]mexec.NodeID{}
		for range 400 {
			home := homes[r.IntN(3)]
			now = now.Add(time.Duration(r.IntN(50)) * time.Millisecond)
			switch r.IntN(8) {
			case 0, 1:
				s.Want(home, of(r.IntN(8)), now)
			case 2, 3:
				for id, h := range idle {
					delete(idle, id)
					if start(s, h, id) {
						running[id] = h
					}
					break
				}
			case 4, 5:
				for id, h := range running {
					delete(running, id)
					if n := s.End(id, now).Grant; n != 0 {
						idle[n] = h
					}
					break
				}
			case 6:
				for id, h := range idle {
					delete(idle, id)
					s.Return(h, []Grant{id}, now)
					break
				}
			case 7:
				if r.IntN(4) == 0 {
					s.Gone(home, now)
				} else {
					s.Tick(now)
				}
			}
			offers, _ := s.Take()
			for _, o := range offers {
				for _, id := range o.Grants {
					idle[id] = o.Home
				}
			}
			held := 0
			for _, u := range s.users {
				held += u.held
				if u.held < 0 {
					t.Fatalf("seed %d: a user holds %d", seed, u.held)
				}
			}
			if s.counted > s.total || s.counted != len(s.grants) || held > s.counted {
				t.Fatalf("seed %d: %d counted, %d grants, %d held, %d slots", seed, s.counted, len(s.grants), held, s.total)
			}
			if len(running) > s.total {
				t.Fatalf("seed %d: %d jobs on %d slots", seed, len(running), s.total)
			}
		}
	}
}
