package place

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"
)

// ids are the grants, oldest first.
func ids(s *Slots) []Grant { return slices.Sorted(maps.Keys(s.grants)) }

// heldBy is how many slots each user holds.
func heldBy(s *Slots) map[uint32]int {
	m := map[uint32]int{}
	for _, u := range s.users {
		if u.held > 0 {
			m[u.uid] = u.held
		}
	}
	return m
}

// serve ends so many jobs, the oldest first, and starts what is granted for them.
func serve(t *testing.T, s *Slots, jobs int) {
	t.Helper()
	for range jobs {
		var oldest Grant
		if all := ids(s); len(all) > 0 && s.grants[all[0]].running {
			oldest = all[0]
		}
		start := func(id Grant) {
			c := s.grants[id].claim
			if s.Start(c.tenant.home, id, c.build.user.uid, c.build.id, 0, t0) != Started {
				t.Fatal("a grant starts nothing")
			}
		}
		if r := s.End(oldest, t0); r.Grant != 0 {
			start(r.Grant)
		}
		offers, _ := s.Take()
		for _, o := range offers {
			for _, id := range o.Grants {
				start(id)
			}
		}
	}
}

func TestUsersShareAWorkerEvenlyHoweverManyBuildsAndHomesTheyHave(t *testing.T) {
	s := NewSlots(12)
	s.Want("a", []Share{{UID: 1, Build: "x", Slots: 20}, {UID: 1, Build: "y", Slots: 20}}, t0)
	s.Want("b", []Share{{UID: 1, Build: "z", Slots: 20}}, t0)
	serve(t, s, 1)
	s.Want("c", []Share{{UID: 2, Build: "w", Slots: 20}}, t0)
	s.Want("d", []Share{{UID: 3, Build: "v", Slots: 2}}, t0)
	serve(t, s, 40)
	if m := heldBy(s); m[1] != 5 || m[2] != 5 || m[3] != 2 {
		t.Errorf("users hold %v of 12 slots, where the third wants 2", m)
	}
	for _, b := range s.users[0].builds {
		if b.held < 1 || b.held > 2 {
			t.Errorf("build %s holds %d of its user's 5 slots, one of three builds", b.id, b.held)
		}
	}
}

// slotTime has users keep a worker busy for so long, each with jobs that take what his take, and says what part of the slot time each has had.
func slotTime(s *Slots, takes map[uint32]time.Duration, from time.Time, long time.Duration) map[uint32]float64 {
	had, ends := map[uint32]float64{}, map[Grant]time.Time{}
	for id, g := range s.grants {
		if g.running { // since an earlier call
			ends[id] = from
		}
	}
	start := func(id Grant, now time.Time) {
		c := s.grants[id].claim
		took := takes[c.build.user.uid]
		s.Start(c.tenant.home, id, c.build.user.uid, c.build.id, 0, now)
		ends[id] = now.Add(took)
		had[c.build.user.uid] += took.Seconds() / long.Seconds() / float64(s.Total())
	}
	for now := from; now.Sub(from) < long; now = now.Add(10 * time.Millisecond) {
		for _, id := range ids(s) {
			if end, ok := ends[id]; ok && !now.Before(end) {
				if r := s.End(id, now); r.Grant != 0 {
					start(r.Grant, now)
				}
			}
		}
		offers, _ := s.Take()
		for _, o := range offers {
			for _, id := range o.Grants {
				start(id, now)
			}
		}
	}
	return had
}

// They took turns: each had as many jobs as the others, and those with long ones nine slots of ten.
func TestUsersOfLongJobsHaveNoMoreSlotTimeThanThoseOfShortOnes(t *testing.T) {
	s := NewSlots(4)
	takes := map[uint32]time.Duration{}
	for u := range uint32(10) {
		takes[u] = 100 * time.Millisecond
		if u%2 == 0 {
			takes[u] *= 10
		}
		s.Want("a", slices.Concat([]Share{{UID: u, Slots: 4}}, wanted(s)), t0)
	}
	for u, part := range slotTime(s, takes, t0, 200*time.Second) {
		if part < 0.09 || part > 0.11 {
			t.Errorf("user %d, whose jobs take %v, has had %.3f of all, one of ten", u, takes[u], part)
		}
	}
}

// wanted is what is wanted so far.
func wanted(s *Slots) (all []Share) {
	for _, u := range s.users {
		for _, b := range u.builds {
			all = append(all, Share{UID: u.uid, Build: b.id, Slots: b.claims[0].want})
		}
	}
	return all
}

func TestNobodyIsInDebtForHavingBeenAlone(t *testing.T) {
	s := NewSlots(1)
	takes := map[uint32]time.Duration{1: 100 * time.Millisecond, 2: 100 * time.Millisecond, 3: 100 * time.Millisecond}
	s.Want("a", []Share{{UID: 1, Slots: 4}}, t0)
	slotTime(s, takes, t0, time.Minute)
	now := t0.Add(time.Minute)
	s.Want("b", []Share{{UID: 2, Slots: 4}, {UID: 3, Slots: 4}}, now)
	for u, part := range slotTime(s, takes, now, 9*time.Second) {
		if part < 0.3 || part > 0.37 {
			t.Errorf("user %d has %.2f of the slot, one of three", u, part)
		}
	}
}

func TestWhoWantedNothingHasNoCredit(t *testing.T) {
	s := NewSlots(1)
	takes := map[uint32]time.Duration{1: 100 * time.Millisecond, 2: 100 * time.Millisecond, 3: 100 * time.Millisecond}
	s.Want("a", []Share{{UID: 1, Slots: 4}, {UID: 2, Slots: 4}}, t0)
	s.Want("b", []Share{{UID: 3, Slots: 1}}, t0)
	slotTime(s, takes, t0, 300*time.Millisecond)
	s.Want("b", nil, t0.Add(300*time.Millisecond))
	slotTime(s, takes, t0.Add(300*time.Millisecond), time.Minute)
	now := t0.Add(time.Minute + 300*time.Millisecond)
	s.Want("b", []Share{{UID: 3, Slots: 4}}, now)
	if part := slotTime(s, takes, now, 9*time.Second)[3]; part < 0.3 || part > 0.37 {
		t.Errorf("who comes back has %.2f of the slot, one of three", part)
	}
}

func TestWhoHasOneJobAtATimeHasNoLessSlotTimeForIt(t *testing.T) {
	s := NewSlots(1)
	s.Want("a", []Share{{UID: 1, Slots: 1}}, t0)
	s.Want("b", []Share{{UID: 2, Slots: 4}}, t0)
	if part := slotTime(s, map[uint32]time.Duration{1: 10 * time.Millisecond, 2: time.Second}, t0, 100*time.Second)[1]; part < 0.48 {
		t.Errorf("who always wants one slot has %.2f of it, one of two", part)
	}
}

func TestWeightsOfUsers(t *testing.T) {
	s := NewSlots(12)
	s.Weigh(1, 3)
	s.Want("a", []Share{{UID: 1, Slots: 20}, {UID: 2, Slots: 20}}, t0)
	serve(t, s, 40)
	if m := heldBy(s); m[1] != 9 || m[2] != 3 {
		t.Errorf("users of weight 3 and 1 hold %v of 12", m)
	}
}

// Whose weight was large held the least for it with all slots but none, and the other starved.
func TestWeightsHoldOnFewSlotsToo(t *testing.T) {
	for _, c := range []struct {
		slots  int
		weight float64
	}{{1, 3}, {2, 3}, {2, 20}, {3, 0.3}, {8, 3}, {8, 50}} {
		s := NewSlots(c.slots)
		s.Weigh(1, c.weight)
		s.Want("a", []Share{{UID: 1, Slots: 20}}, t0)
		s.Want("b", []Share{{UID: 2, Slots: 20}}, t0)
		times := map[uint32]time.Duration{1: 90 * time.Millisecond, 2: 110 * time.Millisecond}
		part, want := slotTime(s, times, t0, 400*time.Second)[1], c.weight/(c.weight+1)
		if math.Abs(part-want) > 0.02 {
			t.Errorf("on %d slots a user of weight %v beside one of weight 1 has %.3f of them, not %.3f", c.slots, c.weight, part, want)
		}
	}
}

func TestStartCountsTheGrantForWhoRunsOnIt(t *testing.T) {
	s := NewSlots(2)
	s.Want("a", []Share{{UID: 1, Slots: 2}}, t0)
	ids := granted(s, "a")
	s.Start("a", ids[0], 2, "b", 0, t0)
	if m := heldBy(s); m[1] != 1 || m[2] != 1 {
		t.Errorf("users hold %v", m)
	}
}

func TestMemoryIsGrantedWithTheSlot(t *testing.T) {
	const gib = 1 << 30
	s := NewSlots(8)
	s.Limit(8, 4*gib, t0)
	s.Want("a", []Share{{UID: 1, Slots: 8, Memory: gib}}, t0)
	offers, _ := s.Take()
	if len(offers) != 1 || len(offers[0].Grants) != 4 || offers[0].Memory != gib || s.Reserved() != 4*gib {
		t.Fatalf("%+v, %d reserved", offers, s.Reserved())
	}
	ids := offers[0].Grants
	if got := s.Start("a", ids[0], 1, "", 2*gib, t0); got != NoMemory {
		t.Errorf("a job of 2 GiB started where 1 GiB was left: %v", got)
	}
	s.Want("a", nil, t0)
	s.Return("a", granted(s, "a"), t0)
	if got := s.Start("a", ids[1], 1, "", 2*gib, t0); got != Started || s.Reserved() != 4*gib {
		t.Errorf("a job of 2 GiB did not where as much was free: %v, %d reserved", got, s.Reserved())
	}
	if got := s.Start("a", ids[2], 1, "", gib/4, t0); got != Started || s.Reserved() != 3*gib+gib/4 {
		t.Errorf("what a job does not need is still reserved: %d", s.Reserved())
	}
	s.Uses(ids[2], 2*gib, t0)
	if s.Reserved() != 5*gib {
		t.Errorf("%d reserved with a job that outgrew its own", s.Reserved())
	}
	s.Tick(t0.Add(Void))
	s.Want("b", []Share{{UID: 2, Slots: 1}}, t0)
	if n := len(granted(s, "b")); n != 0 {
		t.Errorf("%d grants beyond the memory", n)
	}
	s.End(ids[2], t0)
	if n := len(granted(s, "b")); n != 1 {
		t.Errorf("%d grants where there is memory again", n)
	}
}

func TestAJobBeyondAllMemoryRunsAlone(t *testing.T) {
	s := NewSlots(4)
	s.Limit(4, 1000, t0)
	s.Want("a", []Share{{UID: 1, Slots: 1, Memory: 9000}}, t0)
	id := granted(s, "a")[0]
	if s.Start("a", id, 1, "", 9000, t0) != Started || s.Reserved() != 1000 {
		t.Fatalf("%d reserved", s.Reserved())
	}
	s.Want("b", []Share{{UID: 2, Slots: 1, Memory: 1}}, t0)
	if len(granted(s, "b")) != 0 {
		t.Error("it has company")
	}
}

// Without this small jobs would keep a large one out for ever.
func TestMemoryIsKeptForALargeJobThatWaitedLong(t *testing.T) {
	s := NewSlots(4)
	s.Limit(4, 4, t0)
	s.Want("small", []Share{{UID: 1, Slots: 9, Memory: 1}}, t0)
	serve(t, s, 1)
	s.Want("large", []Share{{UID: 2, Slots: 1, Memory: 3}}, t0)
	end := func(now time.Time) Renewal {
		for _, id := range ids(s) {
			if s.grants[id].running {
				return s.End(id, now)
			}
		}
		return Renewal{}
	}
	if end(t0).Grant == 0 {
		t.Fatal("a slot lies idle, while the large one must wait anyway")
	}
	for range 3 {
		if end(t0.Add(keep)).Grant != 0 {
			t.Error("a small one still passes the large one")
		}
	}
	s.Tick(t0.Add(Void))
	if n := len(granted(s, "large")); n != 1 {
		t.Error("the large one still waits")
	}
}

func TestANodeThatDrainsAsksForWhatIsIdle(t *testing.T) {
	s := NewSlots(3)
	s.Want("a", of(3), t0)
	ids := granted(s, "a")
	start(s, "a", ids[0])
	now := t0.Add(time.Millisecond)
	s.Limit(0, 0, now)
	_, recalls := s.Take()
	if len(recalls) != 1 || len(recalls[0].Grants) != 2 {
		t.Fatalf("recalls %v", recalls)
	}
	s.Return("a", ids[1:], now)
	if s.End(ids[0], now).Grant != 0 || s.Busy() != 0 || len(granted(s, "a")) != 0 {
		t.Error("a slot of a node that drains was granted")
	}
	s.Limit(3, 0, now)
	if len(granted(s, "a")) != 3 {
		t.Error("it does not come back")
	}
}

func TestWhereOthersWaitAGrantMayNotLieIdle(t *testing.T) {
	s := NewSlots(2)
	s.Want("a", of(1), t0)
	offers, _ := s.Take()
	if offers[0].Lease != Lease {
		t.Errorf("lease %v with nobody else", offers[0].Lease)
	}
	s.Want("b", of(5), t0)
	start(s, "a", offers[0].Grants[0])
	s.Want("a", of(2), t0)
	if r := s.End(offers[0].Grants[0], t0); r.Grant == 0 || r.Lease != 0 {
		t.Errorf("%+v", r)
	}
	h := three()
	h.Granted("n2", Offer{Grants: []Grant{5}}, t0)
	if todo := h.Take(); len(todo.Returns) != 1 {
		t.Errorf("%+v", todo)
	}
}
