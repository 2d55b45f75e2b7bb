package place

import (
	"math"
	"slices"
	"time"

	"mexec"
)

// A worker's slots go by max-min fairness, at three levels: the next one goes to the user who holds the least for his weight, of his builds to
// the one that holds the least, and of its homes likewise. Who holds more than a fair part because nobody else wanted it keeps it until a job ends.
//
// A worker has few slots, and of many users most hold none of them, or one. Of such equals the next slot is for the one who has had the least slot time. To take
// turns would be to serve them job for job: whose jobs are ten times as long as the others' would soon have nine slots of ten. Who begins to wait is reckoned to have had no
// less than others had when they were last served: nobody saves up what he did not want, and who was alone is in nobody's debt (start-time fair queueing). To go by what
// each has in the whole cluster was tried: a worker hears of that by messages only, and until the next ones come all workers serve the same user.
//
// The tree is walked from its root for each slot. Users, builds and homes that want nothing are passed over by the sums at each level.

// user is who owns jobs, over all homes.
type user struct {
	uid uint32
	part
	mark   time.Duration // as Slots.mark, of his builds
	builds []*build
}

// part is what a user has, or a build of his, or one of its homes for it.
type part struct {
	weight float64
	held   int           // grants, lent ones excepted
	short  int           // slots that are lacking
	had    time.Duration // slot time for its weight, and what it was reckoned to have had; until:
	until  time.Time
	turn   uint64 // counts who was served when
}

// upTo is the slot time that a part has had by now.
func (p *part) upTo(now time.Time) time.Duration {
	return p.had + time.Duration(float64(p.held)/p.weight*float64(now.Sub(p.until)))
}

// count changes a part.
func (p *part) count(held, short int, now time.Time) {
	p.had, p.until = p.upTo(now), now
	p.held += held
	p.short += short
}

// build is a build of a user, over all homes: a driver that a job runs belongs to the build that the job is of.
type build struct {
	user *user
	id   mexec.BuildID
	part
	mark   time.Duration // of its homes
	claims []*claim
}

// claim is what a home would hold and holds for a build.
type claim struct {
	build  *build
	tenant *tenant
	part
	want   int   // slots that it would hold in all
	memory int64 // that it asks for with the next
	lent   int   // its jobs that wait for jobs of theirs: its want counts them, the slots don't
	passed bool  // its turn came, but its memory was not to be had; since then:
	since  time.Time
}

// tenant is a home that has claims here.
type tenant struct {
	home   mexec.NodeID
	short  int
	gone   bool
	claims []*claim
}

// change changes a claim, and with it the sums above.
func (s *Slots) change(c *claim, held, lent, want int, now time.Time) {
	c.lent += lent
	c.want = want
	by := max(0, want-c.held-held-c.lent) - c.short
	if by > 0 {
		s.begins(c, now)
	}
	for _, p := range [...]*part{&c.part, &c.build.part, &c.build.user.part} {
		p.count(held, by, now)
	}
	s.counted += held
	s.guests.count(c.tenant.home, held)
	c.tenant.short += by
	s.short += by
	if c.short == 0 {
		c.passed = false
	}
}

// begins reckons who begins to wait with a claim.
func (s *Slots) begins(c *claim, now time.Time) {
	b := c.build
	b.user.begins(s.mark, now)
	b.begins(b.user.mark, now)
	c.begins(b.mark, now)
}

func (p *part) begins(mark time.Duration, now time.Time) {
	if p.short == 0 {
		p.had += max(0, mark-p.upTo(now))
	}
}

// served notes who was given a slot.
func (s *Slots) served(c *claim, now time.Time) {
	b := c.build
	s.turn++
	c.turn, b.turn, b.user.turn, c.passed = s.turn, s.turn, s.turn, false
	s.mark, b.user.mark, b.mark = max(s.mark, b.user.upTo(now)), max(b.user.mark, b.upTo(now)), max(b.mark, c.upTo(now))
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
		s.users = append(s.users, &user{uid: uid, part: part{weight: s.weight(uid)}})
	}
	u := s.users[i]
	k := slices.IndexFunc(u.builds, func(b *build) bool { return b.id == id })
	if k < 0 {
		k = len(u.builds)
		u.builds = append(u.builds, &build{user: u, id: id, part: part{weight: 1}})
	}
	c := &claim{build: u.builds[k], tenant: t, part: part{weight: 1}}
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
func (s *Slots) first(fit bool, now time.Time) *claim {
	var best *claim
	for _, u := range s.users {
		if u.short == 0 || best != nil && !u.before(&best.build.user.part, now) {
			continue
		}
		if c := s.firstOf(u, fit, now); c != nil {
			best = c
		}
	}
	return best
}

func (s *Slots) firstOf(u *user, fit bool, now time.Time) *claim {
	var best *claim
	for _, b := range u.builds {
		if b.short == 0 || best != nil && !b.before(&best.build.part, now) {
			continue
		}
		var least *claim
		for _, c := range b.claims {
			if c.short > 0 && s.guests.may(c.tenant.home) && (least == nil || c.before(&least.part, now)) && (!fit || s.fits(s.need(c.memory))) {
				least = c
			}
		}
		if least != nil {
			best = least
		}
	}
	return best
}

// before says who of two is next: who would hold no more for his weight with one slot more than the other holds now, else by the time that they have had. So it is for a
// weight as it is for many users: on few slots the one with the large weight would always be the one who holds the least, and the other would starve. Who holds nothing is
// behind nobody but for that time.
func (p *part) before(o *part, now time.Time) bool {
	switch {
	case float64(p.held+1)*o.weight <= float64(o.held)*p.weight:
		return true
	case float64(o.held+1)*p.weight <= float64(p.held)*o.weight:
		return false
	}
	if a, b := p.upTo(now), o.upTo(now); a != b {
		return a < b
	}
	return p.turn < o.turn
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
