package place

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Where nodes differ in speed, a job takes the grant of a slow one only if it is expected to end there no later than after waiting for a faster one. When
// one comes is told by what this home runs there: a slot that it holds comes back with the end of its job. How many jobs go before is told by
// the place in the queue.
//
// So in a long queue the slow nodes get the shorter jobs from its end, and of the last jobs of a build none starts where it would end long after all others.
// A job that nobody knows waits for nothing. One that is next waits until it has lost what it had to gain, with the caution below: then it takes what there is, so that
// no estimate, however wrong, keeps it for ever. Meanwhile grants of slow nodes are idle as any: other jobs may use them, and workers call them back for other homes.

// What a job takes longer on a slow node counts for a part where it is short for its queue: others want the fast slots, and a slow node that is left idle is missed. Where it
// is not, it counts more than once: it may take more than expected, which a slow node multiplies, and in the end all wait for it.
const (
	short = 0.25
	long  = 2.0
)

// believed is how long a job waits for a faster node of which no more is known than that it is said to have a free slot.
const believed = 50 * time.Millisecond

// alike is by how much the speeds of two nodes may differ for them to be the same.
const alike = 1.1

// stale is how old what is known of the ends of jobs may be in a set of few nodes; in one of many more, and even where others have started or ended: to
// look at all of them for each job would cost more than it tells.
const stale = 5 * time.Millisecond

func (s *set) stale() time.Duration { return stale * time.Duration(max(1, len(s.members)/few)) }

// pace is how soon slots come free on the nodes of a set that are as fast as this, or faster.
type pace struct {
	speed float64
	free  int           // slots that are believed to be free
	first time.Duration // until the first job of this home ends there
	power float64       // the sum of the speeds of the slots that this home holds there
}

// wait is when a slot comes for a job before which so many others go, which take so long each.
func (p *pace) wait(others int, each time.Duration, late bool) time.Duration {
	if !late {
		if others < p.free {
			return believed
		}
		others -= p.free
	}
	if p.power == 0 {
		return math.MaxInt64
	}
	return p.first + time.Duration(min(float64(others)*float64(each)/p.power, float64(time.Hour)))
}

// holds says whether a job should rather wait for a faster node.
func (h *Home) holds(j *job, n *node, now time.Time) bool {
	s := j.queue.set
	if s.know(h); s.fastest <= n.speed()*alike || j.Cost.Wall == 0 || len(j.refused) > 0 || j.strict {
		return false
	}
	if !j.patient.IsZero() && !now.Before(j.patient) {
		return false
	}
	h.foresee(s, now)
	// The longest go first: those before it take at least as long, and all that wait as long as their mean.
	each := max(j.Cost.Wall, j.queue.work/time.Duration(len(j.queue.jobs)))
	there, best := h.cost(n, j), time.Duration(float64(j.Cost.Wall)/s.fastest)
	counts := long
	if 2*j.Cost.Wall <= j.queue.usual {
		counts = short
	}
	there = best + time.Duration(counts*float64(there-best))
	for i := range s.paces {
		p := &s.paces[i]
		if p.speed <= n.speed()*alike {
			return false
		}
		w := p.wait(j.at, each, now.Sub(j.since) > believed)
		if w < there && w+time.Duration(float64(j.Cost.Wall)/p.speed) < there {
			if j.at == 0 && j.patient.IsZero() {
				j.patient = now.Add(there - best)
			}
			return true
		}
	}
	return false
}

// lame says whether this node is so much slower than another of a set that it is not the first to be asked.
func (h *Home) lame(s *set) bool {
	s.know(h)
	return h.me.speed()*alike < s.fastest
}

// foresee finds out how soon slots come free on the nodes of a set.
func (h *Home) foresee(s *set, now time.Time) {
	if s.foreseen == h.epoch && now.Sub(s.foresaw) < s.stale() && (s.moves == h.moves || len(s.members) > few) {
		return
	}
	s.foreseen, s.moves, s.foresaw = h.epoch, h.moves, now
	all := s.paces[:0]
	for _, n := range s.members {
		if !h.up(n, now) || len(n.refuses) > 0 {
			continue
		}
		p := pace{speed: n.speed(), free: n.free(), first: math.MaxInt64}
		for _, j := range n.jobs {
			if takes := time.Duration(float64(h.takes(j)) / p.speed); takes > 0 {
				left := (takes - now.Sub(j.started)).Abs() // what is overdue takes as long again
				p.first = min(p.first, left)
				p.power += p.speed
			}
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b pace) int { return cmp.Compare(b.speed, a.speed) })
	s.paces = all[:0]
	for i, p := range all {
		last := len(s.paces) - 1
		if i > 0 {
			before := s.paces[last]
			p.free += before.free
			p.power += before.power
			p.first = min(p.first, before.first)
			if before.speed <= p.speed*alike {
				s.paces[last] = p
				continue
			}
		}
		s.paces = append(s.paces, p)
	}
}
