package place

import (
	"time"

	"mexec"
)

// guests bound what other homes than one hold of the slots, jobs that run and unused grants together. That one, the node's own, may have all
// the others leave. The zero value bounds nothing.
type guests struct {
	bound bool
	host  mexec.NodeID
	most  int
	held  int // by others than host
}

func (g *guests) count(home mexec.NodeID, n int) {
	if home != g.host {
		g.held += n
	}
}

// may says whether a home may have one more.
func (g *guests) may(home mexec.NodeID) bool { return !g.bound || home == g.host || g.held < g.most }

// over is how many others hold beyond what they may.
func (g *guests) over() int {
	if !g.bound {
		return 0
	}
	return max(0, g.held-g.most)
}

// Host says whose the slots are: Guests is about all other homes. It comes before any grant.
func (s *Slots) Host(home mexec.NodeID) { s.guests.host = home }

// Guests sets how many slots other homes than the host may hold from now on; what they have they keep, but for idle grants, which are asked for.
func (s *Slots) Guests(most int, now time.Time) {
	s.guests.bound, s.guests.most = most < s.total, max(0, most)
	s.give(now)
	s.recall(now)
}

// Guest is how many slots they hold.
func (s *Slots) Guest() int { return s.guests.held }

// wanted is how many slots are wanted and not held by those who may have more.
func (s *Slots) wanted() int {
	if !s.guests.bound || s.guests.held < s.guests.most {
		return s.short
	}
	if t := s.tenants[s.guests.host]; t != nil {
		return t.short
	}
	return 0
}
