package place

import (
	"slices"
	"time"

	"mexec"
)

// A home deals with a bounded set of the nodes that a wish names. Where these are few the set has them all. Of many it has some that were chosen
// by chance, the better of two each time, and it keeps those that were good: that gave something lately or run something. Some of the others are
// replaced each second, so that in the end every node is tried and no two homes keep to the same few. The set grows with what the home has to run,
// and where that waits, and shrinks when nothing does.

// few is how many nodes a set has at least, if there are as many.
const few = 64

// good is how long a node that gave something stays in its set for that.
const good = 10 * time.Second

type set struct {
	wish    Nodes
	pool    []*node            // all that the wish names
	members []*node            // this node first, if it is one
	has     map[*node]struct{} // of members; nil where they are the whole pool
	mine    bool               // it has this node
	used    time.Time
	renewed time.Time

	epoch   uint64 // of what follows
	most    int64  // memory that the largest node has
	fastest float64

	healthy  bool // some node of it is well
	examined uint64

	paces    []pace // fastest first; known since:
	foreseen uint64 // the epoch
	moves    uint64
	foresaw  time.Time
}

// set finds the set of a wish, or makes it.
func (h *Home) set(wish Nodes) *set {
	for _, s := range h.sets {
		if s.wish.String() == wish.String() {
			return s
		}
	}
	s := &set{wish: wish, epoch: ^uint64(0), examined: ^uint64(0)}
	for _, n := range h.all {
		s.add(n, h.me)
	}
	h.sets = append(h.sets, s)
	h.fill(s)
	return s
}

func (s *set) names(n *node) bool { return s.wish.Match(&n.Node) }

func (s *set) add(n, me *node) {
	if s.names(n) {
		s.pool = append(s.pool, n)
		s.mine = s.mine || n == me
	}
}

func (s *set) remove(n *node) {
	is := func(o *node) bool { return o == n }
	s.pool = slices.DeleteFunc(s.pool, is)
	if s.has != nil {
		if _, ok := s.has[n]; ok {
			delete(s.has, n)
			s.members = slices.DeleteFunc(s.members, is)
		}
	}
}

// fill makes the set as large as it has to be.
func (h *Home) fill(s *set) {
	switch {
	case len(s.pool) <= few:
		s.members, s.has = s.pool, nil
		return
	case s.has == nil:
		s.members, s.has = nil, make(map[*node]struct{}, few)
		if s.mine {
			s.put(h.me)
		}
	}
	h.grow(s, few-len(s.members))
}

func (s *set) put(n *node) {
	s.members = append(s.members, n)
	s.has[n] = struct{}{}
}

// grow adds up to so many nodes, and says how many it has.
func (h *Home) grow(s *set, by int) (grown int) {
	if s.has == nil {
		return 0
	}
	by = min(by, len(s.pool)-len(s.members))
	for tries := 2*by + few; grown < by && tries > 0; tries-- {
		n, o := s.pool[h.rand.IntN(len(s.pool))], s.pool[h.rand.IntN(len(s.pool))]
		if s.better(o, n) {
			n = o
		}
		if _, ok := s.has[n]; !ok && n.State == mexec.Up {
			s.put(n)
			grown++
		}
	}
	return grown
}

func (s *set) better(n, than *node) bool {
	if _, ok := s.has[n]; ok || n.State != mexec.Up {
		return false
	}
	if _, ok := s.has[than]; ok || than.State != mexec.Up {
		return true
	}
	return n.speed()*float64(n.free()) > than.speed()*float64(than.free())
}

// renew replaces some nodes of each set that were of no use, and lets sets shrink, or go, that are not needed.
func (h *Home) renew(now time.Time) {
	h.sets = slices.DeleteFunc(h.sets, func(s *set) bool {
		return now.Sub(s.used) > time.Minute && !s.wish.Any() && !h.needs(s)
	})
	for _, s := range h.sets {
		if s.has == nil || now.Sub(s.renewed) < time.Second {
			continue
		}
		s.renewed = now
		drop := few / 16
		if !slices.ContainsFunc(h.busy, func(q *queue) bool { return q.set == s }) {
			drop += (len(s.members) - few) / 2
		}
		for tries := 4 * drop; drop > 0 && tries > 0 && len(s.members) > few/2; tries-- {
			i := h.rand.IntN(len(s.members))
			n := s.members[i]
			if n == h.me || n.held() > 0 || len(n.stakes) > 0 || now.Sub(n.served) < good {
				continue
			}
			delete(s.has, n)
			s.members[i] = s.members[len(s.members)-1]
			s.members = s.members[:len(s.members)-1]
			drop--
		}
		h.grow(s, few-len(s.members))
	}
}

// needs says whether a queue has the set, be it an empty one: the next job will take it from there, and must find the nodes that came meanwhile.
func (h *Home) needs(s *set) bool {
	for _, q := range h.queues {
		if q.set == s {
			return true
		}
	}
	return false
}

// know finds out what the nodes of a set are like at their best.
func (s *set) know(h *Home) {
	if s.epoch == h.epoch {
		return
	}
	s.epoch, s.most, s.fastest = h.epoch, 0, 0
	for _, n := range s.pool {
		if n == h.me || n.State == mexec.Up {
			s.most = max(s.most, n.Memory)
		}
	}
	for _, n := range s.members {
		if n == h.me || n.State == mexec.Up {
			s.fastest = max(s.fastest, n.speed())
		}
	}
}

// largest says that no node of the set has more memory than this one: it takes what none has memory for, alone.
func (s *set) largest(n *node, h *Home) bool {
	s.know(h)
	return n.Memory >= s.most
}

// View tells which nodes there are now. Self must be among them.
func (h *Home) View(view []mexec.Node, now time.Time) {
	h.views++
	for i := range view {
		h.row(&view[i])
	}
	for i := len(h.all) - 1; i > 0; i-- {
		if n := h.all[i]; n.seen != h.views {
			h.gone(n)
		}
	}
	h.viewed(now)
}

// Update tells of one node that it is there, and how it is. It costs the same whatever the size of the cluster.
func (h *Home) Update(v mexec.Node, now time.Time) {
	h.row(&v)
	h.viewed(now)
}

// Updates is Update for several.
func (h *Home) Updates(some []mexec.Node, now time.Time) {
	for i := range some {
		h.row(&some[i])
	}
	h.viewed(now)
}

func (h *Home) viewed(now time.Time) {
	for _, s := range h.sets {
		h.fill(s)
	}
	h.settle(now)
}

// Own tells how this node's own Slots are, which is more exact than any news.
func (h *Home) Own(s *Slots) {
	if s.Total() != h.me.Slots || s.Memory() != h.me.Memory {
		h.epoch++
	}
	h.me.Slots, h.me.Busy, h.me.ours = s.Total(), s.Busy(), h.me.held()
	h.me.Memory, h.me.Free = s.Memory(), s.Spare()
}

func (h *Home) row(v *mexec.Node) {
	n := h.nodes[v.Name]
	if n == nil {
		n = &node{Node: *v, at: len(h.all), seen: h.views}
		h.nodes[v.Name] = n
		h.all = append(h.all, n)
		for _, s := range h.sets {
			s.add(n, h.me)
		}
		h.epoch++
		return
	}
	n.seen = h.views
	old, gave := n.Node, n.free() > 0
	if n != h.me {
		n.Node, n.ours = *v, n.held()
	} else {
		n.Node = *v
		n.State, n.Slots, n.Busy, n.Memory, n.Free = mexec.Self, old.Slots, old.Busy, old.Memory, old.Free
	}
	if gives := n.free() > 0; old.State != n.State || old.Slots != n.Slots || old.Memory != n.Memory || old.Speed != n.Speed || gave != gives {
		h.epoch++
	}
	if old.Number == n.Number && old.Labels == n.Labels && old.Arch == n.Arch {
		return
	}
	for _, s := range h.sets {
		if was := slices.Contains(s.pool, n); was != s.names(n) {
			if was {
				s.remove(n)
				s.mine = s.mine && n != h.me
			} else {
				s.add(n, h.me)
			}
			if s.has == nil {
				s.members = s.pool
			}
		}
	}
}

// gone takes a node out that nobody knows any more, as soon as nothing of ours is there.
func (h *Home) gone(n *node) {
	if n.State != mexec.Down {
		n.State = mexec.Down
		h.epoch++
	}
	if n.held() > 0 {
		return
	}
	delete(h.nodes, n.Name)
	h.lags.without(n)
	last := len(h.all) - 1
	h.all[n.at] = h.all[last]
	h.all[n.at].at = n.at
	h.all[last] = nil
	h.all = h.all[:last]
	for _, s := range h.sets {
		s.remove(n)
		if s.has == nil {
			s.members = s.pool
		}
	}
	h.active = slices.DeleteFunc(h.active, func(o *node) bool { return o == n })
	n.active, n.stakes = false, nil
}
