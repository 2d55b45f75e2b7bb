package place

import (
	"math"
	"slices"

	"mexec"
)

// A worker's slots go by max-min fairness, at three levels: the next one goes to the user who holds the least for his weight, of his builds to
// the one that holds the least, and of its homes likewise. Among equals it goes to the one who was served longest ago, so nobody
// waits for ever. Who holds more than a fair part because nobody else wanted it keeps it until a job ends.
//
// The tree is walked from its root for each slot. Users, builds and homes that want nothing are passed over by the sums at each level.

// user is who owns jobs, over all homes.
type user struct {
	uid    uint32
	weight float64
	held   int
	short  int
	turn   uint64
	builds []*build
}

// build is a build of a user, over all homes: a driver that a job runs belongs to the build that the job is of.
type build struct {
	user   *user
	id     mexec.BuildID
	held   int
	short  int
	turn   uint64
	claims []*claim
}

// claim is what a home would hold and holds for a build.
type claim struct {
	build  *build
	tenant *tenant
	want   int   // slots that it would hold in all
	memory int64 // that it asks for with the next
	held   int   // grants that it holds, lent ones excepted
	lent   int   // its jobs that wait for jobs of theirs: its want counts them, the slots don't
	turn   uint64
	passed bool // its turn came, but its memory was not to be had; since then:
	since  int64
}

// tenant is a home that has claims here.
type tenant struct {
	home   mexec.NodeID
	short  int
	gone   bool
	claims []*claim
}

// short is how many slots the claim lacks.
func (c *claim) short() int { return max(0, c.want-c.held-c.lent) }

// change changes a claim, and with it the sums above.
func (s *Slots) change(c *claim, held, lent, want int) {
	was := c.short()
	c.held += held
	c.build.held += held
	c.build.user.held += held
	s.counted += held
	s.guests.count(c.tenant.home, held)
	c.lent += lent
	c.want = want
	by := c.short() - was
	if by == 0 {
		return
	}
	c.tenant.short += by
	c.build.short += by
	c.build.user.short += by
	s.short += by
	if c.short() == 0 {
		c.passed = false
	}
}

// claim finds the claim of a home for a build, or makes it.
func (s *Slots) claim(t *tenant, uid uint32, id mexec.BuildID) *claim {
	for _, c := range t.claims {
		if c.build.id == id && c.build.user.uid == uid {
			return c
		}
	}
	i := slices.IndexFunc(s.users, func(u *user) bool { return u.uid == uid })
	if i < 0 {
		i = len(s.users)
		s.users = append(s.users, &user{uid: uid, weight: s.weight(uid)})
	}
	u := s.users[i]
	k := slices.IndexFunc(u.builds, func(b *build) bool { return b.id == id })
	if k < 0 {
		k = len(u.builds)
		u.builds = append(u.builds, &build{user: u, id: id})
	}
	c := &claim{build: u.builds[k], tenant: t}
	c.build.claims = append(c.build.claims, c)
	t.claims = append(t.claims, c)
	return c
}

func (s *Slots) tenant(home mexec.NodeID) *tenant {
	t := s.tenants[home]
	if t == nil {
		t = &tenant{home: home}
		s.tenants[home] = t
	}
	return t
}

// sweep forgets claims that are nothing any more.
func (s *Slots) sweep() {
	empty := func(c *claim) bool { return c.want == 0 && c.held == 0 && c.lent == 0 }
	s.users = slices.DeleteFunc(s.users, func(u *user) bool {
		u.builds = slices.DeleteFunc(u.builds, func(b *build) bool {
			b.claims = slices.DeleteFunc(b.claims, func(c *claim) bool {
				if !empty(c) {
					return false
				}
				c.tenant.claims = slices.DeleteFunc(c.tenant.claims, func(o *claim) bool { return o == c })
				if len(c.tenant.claims) == 0 && !c.tenant.gone {
					delete(s.tenants, c.tenant.home)
				}
				return true
			})
			return len(b.claims) == 0
		})
		return len(u.builds) == 0
	})
}

// first is the claim with the best right to the next slot, nil where nobody wants one. With fit it must be one whose memory is to be had.
func (s *Slots) first(fit bool) *claim {
	var best *claim
	for _, u := range s.users {
		if u.short == 0 || best != nil && !u.before(best.build.user) {
			continue
		}
		if c := s.firstOf(u, fit); c != nil {
			best = c
		}
	}
	return best
}

func (s *Slots) firstOf(u *user, fit bool) *claim {
	var best *claim
	for _, b := range u.builds {
		if b.short == 0 || best != nil && !before(b.held, b.turn, best.build.held, best.build.turn) {
			continue
		}
		var least *claim
		for _, c := range b.claims {
			if c.short() > 0 && s.guests.may(c.tenant.home) && (least == nil || before(c.held, c.turn, least.held, least.turn)) && (!fit || s.fits(s.need(c.memory))) {
				least = c
			}
		}
		if least != nil {
			best = least
		}
	}
	return best
}

func (u *user) before(v *user) bool {
	a, b := float64(u.held+1)/u.weight, float64(v.held+1)/v.weight
	return a < b || a == b && u.turn < v.turn
}

func before(held int, turn uint64, than int, thanTurn uint64) bool {
	return held < than || held == than && turn < thanTurn
}

// Weigh sets how much of a worker a user gets beside others, 1 if nothing is said.
func (s *Slots) Weigh(uid uint32, weight float64) {
	if !(weight > 0) || math.IsInf(weight, 0) {
		weight = 1
	}
	s.weights[uid] = weight
	for _, u := range s.users {
		if u.uid == uid {
			u.weight = weight
		}
	}
}

func (s *Slots) weight(uid uint32) float64 {
	if w, ok := s.weights[uid]; ok {
		return w
	}
	return 1
}
