package place

import (
	"slices"
	"time"

	"mexec"
)

// Slots are the slots of this node, the memory of its jobs, and who holds them. The invariant: grants that count ≤ Total and what they
// reserve ≤ Memory, but for what was granted before a limit shrank, for what a running job took beyond its reservation, and for what
// occupies a slot unasked.
//
// Who gets the next slot is told in fair.go. A slot is never left idle while somebody wants one and there is memory for it, with one exception: whose turn
// came and who found too little memory is passed over for a while, and then memory is kept for it. A home that holds a grant
// idle while another wants a slot is asked to use it or give it back.
type Slots struct {
	total    int
	budget   int64 // bytes; 0: memory is not counted
	present  int64 // of these, what there is now: others may have some
	lone     bool  // a job may run alone that needs more
	next     Grant
	grants   map[Grant]*grant
	idle     queueOfGrants // those that run nothing, oldest first
	tenants  map[mexec.NodeID]*tenant
	users    []*user
	weights  map[uint32]float64
	counted  int // grants that count against total
	guests   guests
	reserved int64 // by all grants
	short    int   // slots that are wanted and not held
	turn     uint64
	mark     time.Duration // the most that a user had had when he was served
	offers   []Offer
	recalls  []Offer
}

type grant struct {
	id       Grant
	claim    *claim // the home's at that time: a home that went and came back starts anew
	given    time.Time
	asked    int64 // bytes that it was given or started with
	used     int64 // bytes that its job was seen to use
	memory   int64 // of these, what counts
	running  bool
	lent     bool // the job is itself a caller of jobs and waits for them: its slot does not count
	recalled bool

	before, after *grant // in idle
}

// modest is what a grant reserves for a job of which nobody knows what it needs, where the node has as much for each slot.
const modest = 256 << 20

// keep is for how long smaller jobs may pass one that finds too little memory. Then what becomes free is kept for it.
const keep = 2 * time.Second

// hope is for how long they may pass one that even all that jobs have here would be too little for, since others have the rest: it comes free when those want it to, and
// not by slots that are left idle. Then it is for the one that needs it to run alone.
const hope = 30 * time.Second

// NewSlots returns the slots of a node that has total of them. Memory is not counted before Limit says how much there is.
func NewSlots(total int) *Slots {
	return &Slots{total: total, grants: map[Grant]*grant{}, tenants: map[mexec.NodeID]*tenant{}, weights: map[uint32]float64{}}
}

// Total is how many slots the node has; Busy how many of them are granted or run a job.
func (s *Slots) Total() int { return s.total }

func (s *Slots) Busy() int { return s.counted }

// Free is what could be granted now.
func (s *Slots) Free() int { return max(0, s.total-s.counted) }

// Calm says that no grant lies idle, and that nobody wants one of what is free, as Home.Calm does.
func (s *Slots) Calm() bool { return s.idle.first == nil && (s.wanted() == 0 || s.Free() == 0) }

// Memory is how many bytes the jobs may use, 0 if that is not counted; Reserved how many are promised, and Spare how many more could be now.
func (s *Slots) Memory() int64 { return s.budget }

func (s *Slots) Reserved() int64 { return s.reserved }

func (s *Slots) Spare() int64 { return max(0, s.present-s.reserved) }

// Limit sets how many slots there are from now on and how much memory, 0 where that is not to be counted. With no slots the node drains: what runs goes
// on, what lies idle is asked for.
func (s *Slots) Limit(slots int, memory int64, now time.Time) {
	s.total, s.budget = max(0, slots), max(0, memory)
	s.present, s.lone = s.budget, true
	s.give(now)
	s.recall(now)
}

// Squeeze says how much of its memory there is for jobs now, where others have some of it. What a job is taken to need stays as it was. lone says whether one that needs
// more may start nevertheless where no other runs, and has not to wait for that: some node must have it in the end.
func (s *Slots) Squeeze(present int64, lone bool, now time.Time) {
	s.present, s.lone = min(max(0, present), s.budget), lone
	s.give(now)
	s.recall(now)
}

// Take returns what is to be told to homes since the last call: grants, and grants that are recalled.
func (s *Slots) Take() (offers, recalls []Offer) {
	offers, recalls = s.offers, s.recalls
	s.offers, s.recalls = nil, nil
	for i := range offers {
		offers[i].Lease = s.lease(s.tenants[offers[i].Home])
	}
	return offers, recalls
}

// lease is how long a grant of this home may lie idle.
func (s *Slots) lease(t *tenant) time.Duration {
	if t != nil && s.wanted() > t.short {
		return 0
	}
	return Lease
}

// Want says what a home would hold in all. Builds that it does not name it wants nothing for.
func (s *Slots) Want(home mexec.NodeID, shares []Share, now time.Time) {
	t := s.tenant(home)
	for _, c := range t.claims {
		if !slices.ContainsFunc(shares, func(w Share) bool { return w.UID == c.build.user.uid && w.Build == c.build.id }) {
			s.change(c, 0, 0, 0, now)
		}
	}
	for _, w := range shares {
		c := s.claim(t, w.UID, w.Build)
		c.memory = max(0, w.Memory)
		s.change(c, 0, 0, max(0, w.Slots), now)
	}
	s.give(now)
	s.recall(now)
}

// Return takes grants back that the home did not use. Unknown ones, and those that run a job, are none of its business.
func (s *Slots) Return(home mexec.NodeID, ids []Grant, now time.Time) {
	for _, id := range ids {
		if g := s.grants[id]; g != nil && g.claim.tenant.home == home && !g.running {
			s.drop(g, now)
		}
	}
	s.give(now)
	s.recall(now)
}

// Start turns a grant into a running job of this user and build, which needs so much memory; 0 is as much as the grant came with. The
// grant counts for them from now on, whoever it was asked for.
func (s *Slots) Start(home mexec.NodeID, id Grant, uid uint32, build mexec.BuildID, memory int64, now time.Time) Outcome {
	g := s.grants[id]
	if g == nil || g.claim.tenant.home != home || g.running {
		return VoidGrant
	}
	if memory > 0 && s.budget > 0 {
		need := min(memory, s.budget)
		if over := need - g.memory; over > 0 && s.reserved+over > s.present && s.counted > 1 {
			s.drop(g, now)
			s.give(now)
			s.recall(now)
			return NoMemory
		}
		g.asked = need
		s.reserve(g)
	}
	s.idle.remove(g)
	g.running = true
	if c := g.claim; c.build.id != build || c.build.user.uid != uid {
		s.change(c, -1, 0, c.want, now)
		g.claim = s.claim(c.tenant, uid, build)
		s.change(g.claim, 1, 0, g.claim.want, now)
		s.served(g.claim, now)
	}
	if s.short > 0 {
		s.give(now)
	}
	return Started
}

// Uses says how much memory a running job has been seen to use. Its reservation is never less.
func (s *Slots) Uses(id Grant, bytes int64, now time.Time) {
	if g := s.grants[id]; g != nil && g.running {
		g.used = bytes
		s.reserve(g)
		s.give(now)
		s.recall(now)
	}
}

// Occupy counts a job of a home that runs without having been granted a slot, be one free or not. Cancel ends it.
func (s *Slots) Occupy(home mexec.NodeID, now time.Time) Grant {
	g := s.grant(s.claim(s.tenant(home), Nobody, ""), 0, now)
	s.idle.remove(g)
	g.running = true
	s.give(now) // another may be next now, whose memory is to be had
	return g.id
}

// Lend says that the job of this grant has itself called for jobs: it is a coordinator that waits, so its slot and its memory go to others, but for what
// it was seen to use. Without this, callers of callers could hold every slot of a cluster and wait for ever.
// False: it has done so already, or is over.
func (s *Slots) Lend(id Grant, now time.Time) bool {
	g := s.grants[id]
	if g == nil || !g.running || g.lent {
		return false
	}
	g.lent = true
	s.change(g.claim, -1, 1, g.claim.want, now)
	s.reserve(g)
	s.give(now)
	return true
}

// End frees the slot of a job that ended. Where nobody else has a better claim, the slot is granted again to the same home
// without being asked, and the new grant is returned, to travel with the news of the end.
func (s *Slots) End(id Grant, now time.Time) (renewed Renewal) {
	g := s.grants[id]
	if g == nil {
		return Renewal{}
	}
	s.drop(g, now)
	t := g.claim.tenant
	if !t.gone && s.Free() > 0 {
		c := s.best(now)
		switch {
		case c != nil && c.tenant == t:
			renewed.Grant = s.grant(c, s.need(c.memory), now).id
		case c == nil && s.wanted() == 0 && s.guests.may(t.home): // for the next one, that nobody has asked for yet
			renewed.Grant = s.grant(g.claim, s.left(s.need(g.claim.memory)), now).id
		}
		if renewed.Grant != 0 {
			renewed.Memory, renewed.Lease = s.grants[renewed.Grant].memory, s.lease(t)
		}
	}
	s.give(now)
	return renewed
}

// Cancel frees the slot of a job that was refused, or whose home no longer listens to it. No news of an end carries a new grant, so whoever
// has the best claim to the slot is offered it; a renewed grant that nobody hears of would be a slot lost until it is void.
func (s *Slots) Cancel(id Grant, now time.Time) {
	if g := s.grants[id]; g != nil {
		s.drop(g, now)
		s.give(now)
	}
}

// Gone forgets a home: its wants, its idle grants. Its jobs hold their slots until they have ended.
func (s *Slots) Gone(home mexec.NodeID, now time.Time) {
	t := s.tenants[home]
	if t == nil {
		return
	}
	for g := s.idle.first; g != nil; {
		after := g.after
		if g.claim.tenant == t {
			s.drop(g, now)
		}
		g = after
	}
	for _, c := range t.claims {
		s.change(c, 0, 0, 0, now)
	}
	t.gone = true
	delete(s.tenants, home)
	s.give(now)
}

// Tick takes back what homes neither used nor returned.
func (s *Slots) Tick(now time.Time) {
	for s.idle.first != nil && now.Sub(s.idle.first.given) >= Void {
		s.drop(s.idle.first, now)
	}
	s.give(now)
	s.recall(now)
	s.sweep()
}

// need is what a grant reserves for a job that needs so much.
func (s *Slots) need(memory int64) int64 {
	switch {
	case s.budget == 0:
		return 0
	case memory == 0:
		return min(modest, s.budget/int64(max(1, s.total)))
	}
	return min(memory, s.budget)
}

// left is so much or what there is.
func (s *Slots) left(memory int64) int64 {
	if s.budget == 0 {
		return memory
	}
	return max(0, min(memory, s.present-s.reserved))
}

// fits says whether there is so much memory. Where nothing runs that will ever free any, there is: a job that asks for more than the node
// has runs alone, and what only waits for its own jobs can't keep these out.
func (s *Slots) fits(memory int64) bool {
	return s.budget == 0 || s.reserved+memory <= s.present || s.counted == 0 && s.lone
}

// best is the claim that gets the next slot, nil if none does.
func (s *Slots) best(now time.Time) *claim {
	if s.short == 0 {
		return nil
	}
	c := s.first(false, now)
	if c == nil { // guests may have no more
		return nil
	}
	need, patience := s.need(c.memory), keep
	if s.fits(need) {
		return c
	}
	late := need > s.present && !s.lone
	if late {
		patience = hope
	}
	switch {
	case !c.passed:
		c.passed, c.since = true, now
	case now.Sub(c.since) < patience:
	case s.counted == 0 && late:
		return c
	default:
		return nil
	}
	return s.first(true, now)
}

// give hands out free slots until nobody wants one.
func (s *Slots) give(now time.Time) {
	for s.Free() > 0 {
		c := s.best(now)
		if c == nil {
			return
		}
		g := s.grant(c, s.need(c.memory), now)
		home := c.tenant.home
		if i := slices.IndexFunc(s.offers, func(o Offer) bool { return o.Home == home && o.Memory == g.memory }); i >= 0 {
			s.offers[i].Grants = append(s.offers[i].Grants, g.id)
		} else {
			s.offers = append(s.offers, Offer{Home: home, Grants: []Grant{g.id}, Memory: g.memory})
		}
	}
}

// onTheWay is how old an idle grant must be before its own home's want of another is a reason to recall it: a younger one may not have reached
// its home yet. For others' wants it is recalled at once: home uses it or returns it as soon as it arrives.
const onTheWay = 50 * time.Millisecond

// recall asks for idle grants back: the oldest ones, as many as are wanted or were granted beyond what there is.
func (s *Slots) recall(now time.Time) {
	short, guests := s.wanted(), s.guests.over()
	most := short + max(0, s.counted-s.total)
	if s.budget > 0 && s.reserved > s.present {
		most = max(most, s.counted)
	}
	over := most > short || guests > 0
	for g := s.idle.first; g != nil && (most > 0 || guests > 0); g = g.after {
		mine := g.claim.tenant.home == s.guests.host
		if mine && most <= 0 {
			continue
		}
		if age := now.Sub(g.given); !g.recalled && (age <= 0 || !over && short == g.claim.tenant.short && age < onTheWay) {
			continue // what is given just now is told for how long it may lie idle
		}
		most--
		if !mine {
			guests--
		}
		if g.recalled {
			continue
		}
		g.recalled = true
		home := g.claim.tenant.home
		if i := slices.IndexFunc(s.recalls, func(o Offer) bool { return o.Home == home }); i >= 0 {
			s.recalls[i].Grants = append(s.recalls[i].Grants, g.id)
		} else {
			s.recalls = append(s.recalls, Offer{Home: home, Grants: []Grant{g.id}})
		}
	}
}

func (s *Slots) grant(c *claim, memory int64, now time.Time) *grant {
	s.next++
	g := &grant{id: s.next, claim: c, given: now, asked: memory}
	s.grants[g.id] = g
	s.idle.add(g)
	s.change(c, 1, 0, c.want, now)
	s.served(c, now)
	s.reserve(g)
	return g
}

// reserve counts what a grant has of the memory now.
func (s *Slots) reserve(g *grant) {
	s.reserved -= g.memory
	g.memory = max(g.asked, g.used)
	if g.lent {
		g.memory = g.used
	}
	s.reserved += g.memory
}

func (s *Slots) drop(g *grant, now time.Time) {
	delete(s.grants, g.id)
	s.reserved -= g.memory
	if !g.running {
		s.idle.remove(g)
	}
	if g.lent {
		s.change(g.claim, 0, -1, g.claim.want, now)
	} else {
		s.change(g.claim, -1, 0, g.claim.want, now)
	}
}

// queueOfGrants is a list of grants, oldest first.
type queueOfGrants struct{ first, last *grant }

func (q *queueOfGrants) add(g *grant) {
	if g.before = q.last; g.before == nil {
		q.first = g
	} else {
		g.before.after = g
	}
	q.last = g
}

func (q *queueOfGrants) remove(g *grant) {
	if g.before == nil {
		q.first = g.after
	} else {
		g.before.after = g.after
	}
	if g.after == nil {
		q.last = g.before
	} else {
		g.after.before = g.before
	}
	g.before, g.after = nil, nil
}
