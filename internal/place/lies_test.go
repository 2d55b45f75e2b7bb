package place

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mexec"
)

// whatever makes a number that a peer may send: small ones mostly, now and then one at the end of what fits.
func whatever(r *rand.Rand) int64 {
	switch r.IntN(8) {
	case 0:
		return []int64{0, -1, 1, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, 1 << 40}[r.IntN(7)]
	case 1:
		return r.Int64()
	}
	return r.Int64N(4 << 30)
}

// audit checks the books of a worker against its grants, added up anew.
func (s *Slots) audit(now time.Time) error {
	counted, reserved, guests, idle := 0, int64(0), 0, 0
	held, lent := map[*claim]int{}, map[*claim]int{}
	for id, g := range s.grants {
		if g.id != id || g.memory < 0 {
			return fmt.Errorf("grant %d is %+v", id, g)
		}
		reserved += g.memory
		if !g.running {
			idle++
		}
		if g.lent {
			lent[g.claim]++
			continue
		}
		counted++
		held[g.claim]++
		if g.claim.tenant.home != s.guests.host {
			guests++
		}
	}
	if counted != s.counted || reserved != s.reserved || guests != s.guests.held {
		return fmt.Errorf("counted %d, are %d; reserved %d, are %d; guests %d, are %d", s.counted, counted, s.reserved, reserved, s.guests.held, guests)
	}
	listed := 0
	for g, before := s.idle.first, (*grant)(nil); g != nil; g, before = g.after, g {
		listed++
		if g.before != before || g.running || s.grants[g.id] != g || before != nil && before.given.After(g.given) {
			return fmt.Errorf("idle grant %d is out of place", g.id)
		}
	}
	if listed != idle {
		return fmt.Errorf("%d idle, listed are %d", idle, listed)
	}
	short, claims := 0, 0
	shorts := map[*tenant]int{}
	for _, u := range s.users {
		user := part{}
		for _, b := range u.builds {
			build := part{}
			for _, c := range b.claims {
				claims++
				if c.held != held[c] || c.lent != lent[c] || c.short != max(0, c.want-c.held-c.lent) || c.tenant.gone && c.want > 0 {
					return fmt.Errorf("claim of %s: held %d, are %d; lent %d, are %d; short %d of %d", c.tenant.home, c.held, held[c], c.lent, lent[c], c.short, c.want)
				}
				delete(held, c)
				build.held, build.short = build.held+c.held, build.short+c.short
				shorts[c.tenant] += c.short
			}
			if b.held != build.held || b.short != build.short {
				return fmt.Errorf("build %q: held %d, are %d; short %d, are %d", b.id, b.held, build.held, b.short, build.short)
			}
			user.held, user.short = user.held+build.held, user.short+build.short
		}
		if u.held != user.held || u.short != user.short {
			return fmt.Errorf("user %d: held %d, are %d; short %d, are %d", u.uid, u.held, user.held, u.short, user.short)
		}
		if v := u.upTo(now); v < 0 {
			return fmt.Errorf("user %d has had %v", u.uid, v)
		}
		short += user.short
	}
	for home, t := range s.tenants {
		if t.home != home || t.gone || t.short != shorts[t] {
			return fmt.Errorf("tenant %s: short %d, are %d", home, t.short, shorts[t])
		}
	}
	if len(held) > 0 || short != s.short {
		return fmt.Errorf("%d claims have grants and are in no build; short %d, are %d", len(held), s.short, short)
	}
	return nil
}

// Homes that lie, crash, come back under their names, use what they never had and return what they use, ask for what does not exist, and are not heard of while
// their grants run out; memory that others take; slots that become fewer. The worker's books balance, and it never grants what it has not.
func TestNoHomeMakesAWorkerGrantWhatItHasNot(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 7))
		s, now := NewSlots(1+r.IntN(6)), t0
		s.Host("host")
		if r.IntN(2) == 0 {
			s.Limit(s.Total(), 1+r.Int64N(8<<30), now)
		}
		homes := []mexec.NodeID{"host", "a", "b", "c"}
		var issued, running []Grant // all that ever were, those that may run
		any := func() Grant {
			if len(issued) == 0 || r.IntN(10) == 0 {
				return Grant(whatever(r))
			}
			return issued[max(0, len(issued)-1-r.IntN(20))]
		}
		some := func() (ids []Grant) {
			for range r.IntN(4) {
				ids = append(ids, any())
			}
			return ids
		}
		for step := range 400 {
			home := homes[r.IntN(len(homes))]
			now = now.Add(time.Duration(r.IntN(40)) * time.Millisecond)
			if r.IntN(40) == 0 {
				now = now.Add(time.Duration(r.IntN(5000)) * time.Millisecond)
			}
			before, reserved := s.counted, s.reserved
			unasked := 0 // slots and memory that are not granted but taken
			more := int64(0)
			what := ""
			switch op := r.IntN(16); op {
			case 0, 1, 2:
				var shares []Share
				for range r.IntN(4) {
					shares = append(shares, Share{
						UID: uint32(r.IntN(3)), Build: mexec.BuildID(fmt.Sprint(r.IntN(3))), Slots: int(whatever(r)) >> r.IntN(40), Memory: whatever(r),
					})
				}
				what = fmt.Sprint("want ", home, shares)
				s.Want(home, shares, now)
			case 3, 4, 5, 6:
				id := any()
				var was int64
				if g := s.grants[id]; g != nil {
					was = g.memory
				}
				alone := s.counted <= 1
				outcome := s.Start(home, id, uint32(r.IntN(3)), mexec.BuildID(fmt.Sprint(r.IntN(3))), whatever(r), now)
				what = fmt.Sprint("start ", home, id, outcome)
				if g := s.grants[id]; outcome == Started {
					if g == nil || !g.running || g.claim.tenant.home != home {
						t.Fatalf("seed %d step %d: %s started %+v", seed, step, home, g)
					}
					running = append(running, id)
					if alone {
						more += max(0, g.memory-was)
					}
				}
			case 7, 8:
				if len(running) > 0 {
					i := r.IntN(len(running))
					renewed := s.End(running[i], now)
					what = fmt.Sprint("end ", running[i], renewed)
					running = slices.Delete(running, i, i+1)
					if renewed.Grant != 0 {
						issued = append(issued, renewed.Grant)
					}
				}
			case 9:
				if len(running) > 0 {
					i := r.IntN(len(running))
					s.Cancel(running[i], now)
					running = slices.Delete(running, i, i+1)
					what = "cancel"
				}
			case 10:
				s.Return(home, some(), now)
				what = "return"
			case 11:
				if r.IntN(4) == 0 {
					s.Gone(home, now)
					what = fmt.Sprint("gone ", home)
				} else {
					s.Tick(now)
					what = "tick"
				}
			case 12:
				if len(running) > 0 {
					id, bytes := running[r.IntN(len(running))], r.Int64N(4<<30)
					more = max(0, bytes-s.grants[id].memory)
					s.Uses(id, bytes, now)
					what = fmt.Sprint("uses ", id, bytes)
				}
			case 13:
				if len(running) > 0 {
					s.Lend(running[r.IntN(len(running))], now)
					what = "lend"
				}
			case 14:
				if r.IntN(3) == 0 {
					unasked = 1
					running = append(running, s.Occupy(home, now))
					what = "occupy"
				}
			case 15:
				what = "limits"
				switch r.IntN(3) {
				case 0:
					s.Guests(r.IntN(7), now)
				case 1:
					s.Squeeze(whatever(r), r.IntN(2) == 0, now)
				case 2:
					if s.budget > 0 && r.IntN(4) == 0 {
						s.Limit(r.IntN(7), 1+r.Int64N(8<<30), now)
					}
				}
			}
			if err := s.audit(now); err != nil {
				t.Fatalf("seed %d step %d: %s: %v", seed, step, what, err)
			}
			if s.counted > s.total && s.counted > before+unasked {
				t.Fatalf("seed %d step %d: %s: %d of %d slots, %d before", seed, step, what, s.counted, s.total, before)
			}
			if s.budget > 0 && s.reserved > s.present && s.reserved > reserved+more && s.counted > 1 {
				t.Fatalf("seed %d step %d: %s: %d of %d bytes, %d before, %d slots", seed, step, what, s.reserved, s.present, reserved, s.counted)
			}
			if s.budget == 0 && s.Free() > 0 && s.wanted() > 0 {
				t.Fatalf("seed %d step %d: %s: %d slots are free and %d wanted", seed, step, what, s.Free(), s.wanted())
			}
			if s.budget > 0 && s.Free() > 0 && s.wanted() > 0 {
				if c := s.best(now); c != nil {
					t.Fatalf("seed %d step %d: %s: a slot is free, and %s wants it and may have it", seed, step, what, c.tenant.home)
				}
			}
			offers, recalls := s.Take()
			for _, o := range offers {
				for _, id := range o.Grants {
					issued = append(issued, id)
					if g := s.grants[id]; g != nil && (g.claim.tenant.home != o.Home || g.memory != o.Memory) {
						t.Fatalf("seed %d step %d: %s: grant %d is %+v, offered as %+v", seed, step, what, id, g, o)
					}
				}
			}
			for _, o := range recalls {
				for _, id := range o.Grants {
					if g := s.grants[id]; g != nil && g.claim.tenant.home != o.Home {
						t.Fatalf("seed %d: grant %d of another is recalled from %s", seed, id, o.Home)
					}
				}
			}
		}
		for _, id := range running {
			s.Cancel(id, now)
		}
		for _, h := range homes {
			s.Gone(h, now)
		}
		s.Tick(now.Add(time.Hour))
		if s.counted != 0 || s.reserved != 0 || len(s.users)+len(s.tenants)+len(s.grants) != 0 {
			t.Fatalf("seed %d: when all are gone %d slots and %d bytes are held, by %d users, %d homes", seed, s.counted, s.reserved, len(s.users), len(s.tenants))
		}
	}
}
