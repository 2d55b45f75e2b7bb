package place

import (
	"slices"
	"time"

	"mexec"
)

// Slots are the slots of this node and who holds them. The invariant: grants that count ≤ Total, but for what was
// granted before Total shrank and for what occupies a slot unasked.
//
// A slot goes to the home that wants one and holds the fewest (max-min fairness between homes), the one served longest ago first.
// A home that holds a grant idle while another wants a slot is asked to use it or give it back.
type Slots struct {
	total   int
	next    Grant
	grants  map[Grant]*grant
	homes   map[mexec.NodeID]*claim
	counted int    // grants that count against total
	turn    uint64 // of the last grant given, for fairness between equals
	offers  []Offer
	recalls []Offer
}

// Offer is what a worker tells a home: these grants are yours, or: use these or return them.
type Offer struct {
	Home   mexec.NodeID
	Grants []Grant
}

type grant struct {
	home     mexec.NodeID
	claim    *claim // the home's at that time: a home that went and came back starts anew
	given    time.Time
	running  bool
	lent     bool // the job is itself a caller of jobs and waits for them: its slot does not count
	recalled bool
}

type claim struct {
	want int // slots that the home would hold in all
	held int // grants that it holds, lent ones excepted
	lent int // its jobs that wait for jobs of theirs: its want counts them, the slots don't
	turn uint64
}

// short is how many slots the home wants beyond what it has.
func (c *claim) short() int { return c.want - c.held - c.lent }

// NewSlots returns the slots of a node that has total of them.
func NewSlots(total int) *Slots {
	return &Slots{total: total, grants: map[Grant]*grant{}, homes: map[mexec.NodeID]*claim{}}
}

// Total is how many slots the node has; Busy how many of them are granted or run a job.
func (s *Slots) Total() int { return s.total }

func (s *Slots) Busy() int { return s.counted }

// Free is what could be granted now.
func (s *Slots) Free() int { return max(0, s.total-s.counted) }

// Take returns what is to be told to homes since the last call: grants, and grants that are recalled.
func (s *Slots) Take() (offers, recalls []Offer) {
	offers, recalls = s.offers, s.recalls
	s.offers, s.recalls = nil, nil
	return offers, recalls
}

// Want says how many slots a home would hold in all.
func (s *Slots) Want(home mexec.NodeID, slots int, now time.Time) {
	c := s.claim(home)
	c.want = max(0, slots)
	s.give(now)
	s.recall(now)
}

// Return takes grants back that the home did not use. Unknown ones, and those that run a job, are none of its business.
func (s *Slots) Return(home mexec.NodeID, ids []Grant, now time.Time) {
	for _, id := range ids {
		if g := s.grants[id]; g != nil && g.home == home && !g.running {
			s.drop(id, g)
		}
	}
	s.give(now)
}

// Start turns a grant into a running job. It reports false if the grant is void.
func (s *Slots) Start(home mexec.NodeID, id Grant) bool {
	g := s.grants[id]
	if g == nil || g.home != home || g.running {
		return false
	}
	g.running = true
	return true
}

// Occupy counts a job of a home that runs without having been granted a slot, be one free or not. Cancel ends it.
func (s *Slots) Occupy(home mexec.NodeID, now time.Time) Grant {
	id := s.grant(home, s.claim(home), now)
	s.grants[id].running = true
	return id
}

// Lend says that the job of this grant has itself called for jobs: it is a coordinator that waits, so its slot goes to others.
// Without this, callers of callers could hold every slot of a cluster and wait for ever.
func (s *Slots) Lend(id Grant, now time.Time) {
	if g := s.grants[id]; g != nil && g.running && !g.lent {
		g.lent = true
		g.claim.lent++
		s.uncount(g)
		s.give(now)
	}
}

// End frees the slot of a job that ended. Where nobody else has a better claim, the slot is granted again to the same home
// without being asked, and the new grant is returned, to travel with the news of the end.
func (s *Slots) End(id Grant, now time.Time) (renewed Grant) {
	g := s.grants[id]
	if g == nil {
		return 0
	}
	s.drop(id, g)
	c := g.claim
	if s.homes[g.home] == c && s.Free() > 0 && !s.better(g.home, c) {
		renewed = s.grant(g.home, c, now)
	}
	s.give(now)
	return renewed
}

// Cancel frees the slot of a job that was refused, or whose home no longer listens to it. No news of an end carries a new grant, so whoever
// has the best claim to the slot is offered it; a renewed grant that nobody hears of would be a slot lost until it is void.
func (s *Slots) Cancel(id Grant, now time.Time) {
	if g := s.grants[id]; g != nil {
		s.drop(id, g)
		s.give(now)
	}
}

// Gone forgets a home: its wants, its idle grants. Its jobs hold their slots until they have ended.
func (s *Slots) Gone(home mexec.NodeID, now time.Time) {
	for id, g := range s.grants {
		if g.home == home && !g.running {
			s.drop(id, g)
		}
	}
	delete(s.homes, home)
	s.give(now)
}

// Tick takes back what homes neither used nor returned.
func (s *Slots) Tick(now time.Time) {
	for id, g := range s.grants {
		if !g.running && now.Sub(g.given) >= Void {
			s.drop(id, g)
		}
	}
	s.give(now)
	s.recall(now)
}

// better says whether some other home has a better claim to a free slot than this one.
func (s *Slots) better(home mexec.NodeID, c *claim) bool {
	for name, o := range s.homes {
		if name != home && o.short() > 0 && (c.short() <= 0 || o.held < c.held || o.held == c.held && o.turn < c.turn) {
			return true
		}
	}
	return false
}

// give hands out free slots until nobody wants one.
func (s *Slots) give(now time.Time) {
	for s.Free() > 0 {
		var home mexec.NodeID
		var least *claim
		for name, c := range s.homes {
			if c.short() <= 0 {
				continue
			}
			if least == nil || c.held < least.held || c.held == least.held && (c.turn < least.turn || c.turn == least.turn && name < home) {
				home, least = name, c
			}
		}
		if least == nil {
			return
		}
		id := s.grant(home, least, now)
		if i := slices.IndexFunc(s.offers, func(o Offer) bool { return o.Home == home }); i >= 0 {
			s.offers[i].Grants = append(s.offers[i].Grants, id)
		} else {
			s.offers = append(s.offers, Offer{home, []Grant{id}})
		}
	}
}

// onTheWay is how old an idle grant must be before it is recalled: a younger one may not have reached its home yet.
const onTheWay = 50 * time.Millisecond

// recall asks for idle grants back while some home wants a slot and none is free.
func (s *Slots) recall(now time.Time) {
	short := 0
	for _, c := range s.homes {
		short += max(0, c.short())
	}
	if short == 0 {
		return
	}
	for id, g := range s.grants {
		if g.running || g.recalled || now.Sub(g.given) < onTheWay {
			continue
		}
		g.recalled = true
		s.recalls = append(s.recalls, Offer{g.home, []Grant{id}})
	}
}

func (s *Slots) claim(home mexec.NodeID) *claim {
	c := s.homes[home]
	if c == nil {
		c = &claim{}
		s.homes[home] = c
	}
	return c
}

func (s *Slots) grant(home mexec.NodeID, c *claim, now time.Time) Grant {
	s.next++
	s.turn++
	c.held++
	c.turn = s.turn
	s.counted++
	s.grants[s.next] = &grant{home: home, claim: c, given: now}
	return s.next
}

func (s *Slots) drop(id Grant, g *grant) {
	delete(s.grants, id)
	if g.lent {
		g.claim.lent--
	} else {
		s.uncount(g)
	}
}

func (s *Slots) uncount(g *grant) {
	s.counted--
	g.claim.held--
}
