package place

import (
	"cmp"
	"slices"
	"time"
)

// overdue is how long no job of a queue may have started before its home stops believing what it has heard of who is free.
const overdue = 50 * time.Millisecond

// spread is how many slots that are believed to be free are asked for each job: the news may be old, and others have heard it too.
const spread = 2

// ask raises wants until the slots that are believed to be free cover the jobs of a queue; the least used nodes first. Where they don't,
// every node of the set is asked: a job starts where a slot comes free first. What is held already is no limit to a want: a
// job that runs there may have lent its slot, which only its worker knows.
//
// What was asked for stays asked for, so one more job costs no more than its own part of that, until something has changed.
func (h *Home) ask(q *queue, now time.Time) {
	late := now.Sub(q.moved) > overdue
	if q.epoch != h.epoch || late != q.late {
		q.epoch, q.late, q.sought, q.wide = h.epoch, late, 0, false
	}
	if len(q.jobs) <= q.sought {
		return
	}
	q.set.used = now
	if late && q.set.has != nil {
		h.grow(q.set, min(few, max(1, len(q.set.members)/4)))
	}
	need := len(q.jobs) - q.sought
	if q.set.mine && !h.lame(q.set) {
		asked := min(h.me.free(), h.underway(h.me, q))
		if q.sought == 0 {
			need -= asked
		}
		if k := min(need, h.me.free()-asked); k > 0 {
			h.raise(h.me, q, k+asked, now)
			need -= k
		}
	}
	if !late && h.cover(q, need, now) {
		q.sought = len(q.jobs)
		return
	}
	h.everybody(q, now)
}

// cover asks for slots that are believed to be free, for so many jobs, and says whether there are enough. No node is asked for more than it takes
// to run them all.
func (h *Home) cover(q *queue, jobs int, now time.Time) bool {
	need := jobs * spread
	type offer struct {
		n    *node
		k    int
		used float64
	}
	var room [few]offer
	free, more, anew := room[:0], 0, q.sought == 0
	at := h.me.Number
	for i := range q.set.members {
		if need <= 0 || !anew && more >= 4*need && len(free) >= few/4 {
			break
		}
		n := q.set.members[(i+at)%len(q.set.members)]
		k := n.free()
		if n == h.me && !h.lame(q.set) || k == 0 || !h.opens(n, q, now) {
			continue
		}
		if s := n.find(q.share); s != nil {
			asked := min(k, max(0, s.told-s.running-len(n.idle)))
			k -= asked
			if anew {
				need -= asked
			}
		}
		if k > 0 {
			more += k
			free = append(free, offer{n, k, n.used()})
		}
	}
	if need <= 0 {
		return true
	}
	slices.SortStableFunc(free, func(a, b offer) int {
		if c := cmp.Compare(b.n.speed(), a.n.speed()); c != 0 {
			return c
		}
		if c := cmp.Compare(a.used, b.used); c != 0 || a.n.linked == b.n.linked {
			return c
		}
		if a.n.linked {
			return -1
		}
		return 1
	})
	each := (need + len(free)) / max(1, len(free))
	for i := range free {
		if k := min(each, free[i].k, need, jobs); k > 0 {
			h.raise(free[i].n, q, k+h.underway(free[i].n, q), now)
			need -= k
		}
	}
	return need <= 0
}

// underway is what the node was asked for and has not given.
func (h *Home) underway(n *node, q *queue) int {
	if s := n.find(q.share); s != nil {
		return max(0, s.told-s.running-len(n.idle))
	}
	return 0
}

// everybody asks every node of the set for its part of the jobs, and makes the set larger if it has too few slots for them.
func (h *Home) everybody(q *queue, now time.Time) {
	for once := true; ; once = false {
		open, slots := 0, 0
		for _, n := range q.set.members {
			if h.opens(n, q, now) {
				open++
				slots += max(1, n.Slots)
			}
		}
		if open == 0 {
			return
		}
		left := len(q.jobs)
		if lack := 2*left - slots; once && lack > 0 && q.set.has != nil && len(q.set.members) < len(q.set.pool) {
			h.grow(q.set, min(few, lack*open/slots+1))
			continue
		}
		q.quota = (left + open - 1) / open
		if q.late {
			q.quota = left
		}
		q.wide = true
		q.sought = q.quota * open
		for _, n := range q.set.members {
			if h.opens(n, q, now) {
				h.raise(n, q, min(q.quota, max(1, n.Slots)), now)
			}
		}
		return
	}
}

// opens says whether a node may get a job of a queue.
func (h *Home) opens(n *node, q *queue, now time.Time) bool { return h.foremost(n, q, now) != nil }

// foremost is a job of a queue that a node may get, the first if it may have that. Of a long queue only some are looked at.
func (h *Home) foremost(n *node, q *queue, now time.Time) *job {
	for _, j := range q.jobs[:min(len(q.jobs), few)] {
		if h.open(n, j, now) {
			if !h.holds(j, n, now) {
				return j
			}
			if q.odd == 0 { // to the last one a slow node is worth the most
				j = q.jobs[len(q.jobs)-1]
				if h.open(n, j, now) && !h.holds(j, n, now) {
					return j
				}
				return nil
			}
		} else if q.odd == 0 && len(n.refuses) == 0 && (!h.up(n, now) || h.spares(n, q.set, now)) {
			return nil
		}
	}
	return nil
}

// raise tells a node to want so many slots more for a queue than it has, if it was not told so already.
func (h *Home) raise(n *node, q *queue, more int, now time.Time) {
	j := h.foremost(n, q, now)
	if j == nil {
		return
	}
	s, memory := n.stake(q.share), j.Need()
	if n.Memory > 0 {
		memory = min(memory, n.Memory)
	}
	if n.ill != "" && h.healthy(q.set, now) {
		if n.held() > 0 {
			return
		}
		more = 1
	}
	if slots := s.running + len(n.idle) + more; slots > s.told || j.strict && memory > s.memory {
		h.tell(n, s, max(slots, s.told), memory)
		q.share.asked = true
	}
}

// unask lowers the wants for a share of which nothing waits, at nodes that run none of it: they would grant what nobody needs. Where it has jobs that
// can wait until the next tick, for the next job may come before.
func (h *Home) unask(s *share) {
	s.asked = false
	for _, n := range h.active {
		if k := n.find(s); k != nil && k.running == 0 && k.told > 0 {
			h.tell(n, k, 0, 0)
		}
	}
}
