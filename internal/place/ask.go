package place

import (
	"cmp"
	"slices"
	"time"
)

// Patience is how long a job waits for what was asked for before more is. It is a few ways of a message: a node that has a slot free has given
// it by then.
const Patience = 2 * time.Millisecond

// spread is how many slots are asked for, for each job, at first: the news of who is free may be old, and others have heard it too.
const spread = 2

// ask raises wants for the jobs of a queue, in rounds: at first as many slots as spread says, then, each time that none has come for a while, twice as
// many more, and in the end at every node. The nodes that are believed to be free are asked first, the least used of them before the others. What was
// asked for stays asked for, so a job starts where a slot comes free first, and one more job costs no more than its own part.
//
// To ask every node at once would be a round trip shorter at times, and most of what they give would go back unused: on a busy cluster that is
// time in which nobody uses it. To ask few and wait for them is what the rounds are there to avoid.
//
// What is held already is no limit to a want: a job that runs there may have lent its slot, which only its worker knows.
func (h *Home) ask(q *queue, now time.Time) {
	switch {
	case now.Before(q.oldest().entered.Add(Patience)):
		q.round = 0
	case !q.spent && !now.Before(q.due()):
		h.doubt(q)
		if q.wide && h.grow(q.set, h.more(q, now)) == 0 {
			q.spent = true
		}
		q.round++
		q.began, q.sought, q.wide = now, 0, q.spent
	}
	if q.epoch != h.epoch {
		q.epoch, q.sought, q.wide, q.spent = h.epoch, 0, false, false
	}
	goal := len(q.jobs) * spread << min(q.round, 20)
	if q.wide || q.sought >= goal {
		return
	}
	q.set.used = now
	h.cover(q, goal, now)
	if q.wide && h.grow(q.set, h.lack(q, spread*len(q.jobs), now)) > 0 {
		h.cover(q, goal, now)
	}
}

// plenty is how many times the slots that a queue could use its set may come to have because nobody in it gives any. If the sets of all homes have that,
// every node is in many of them; a cluster that is full will not be less so for asking more. Eight times was too little for jobs that come by
// twenties to a full cluster: they waited for a tenth of a second while others than they had asked were free.
const plenty = 32

// more is by how many nodes a set is to grow when none of it gave: it doubles.
func (h *Home) more(q *queue, now time.Time) int {
	return min(len(q.set.members), h.lack(q, plenty*(q.running+len(q.jobs)), now))
}

// lack is how many nodes the set of a queue needs more, were it to have so many slots.
func (h *Home) lack(q *queue, want int, now time.Time) int {
	if q.set.has == nil {
		return 0
	}
	open, slots := 0, 0
	for _, n := range q.set.members {
		if h.opens(n, q, now) {
			open++
			slots += max(1, n.Slots)
		}
	}
	if want <= slots || open == 0 {
		return 0
	}
	return (want-slots)*open/slots + 1
}

// oldest is the job of a queue that has waited for longest.
func (q *queue) oldest() *job {
	for !q.came[0].waits {
		q.came[0] = nil
		q.came = q.came[1:]
	}
	return q.came[0]
}

// due is when a queue asks for more.
func (q *queue) due() time.Time {
	if at := q.oldest().entered; at.After(q.began) {
		return at.Add(Patience)
	}
	return q.began.Add(Patience)
}

// Due is when Retry is to be called, the zero time if it need not be.
func (h *Home) Due() (due time.Time) {
	for _, q := range h.busy {
		if at := q.due(); !q.spent && (due.IsZero() || at.Before(due)) {
			due = at
		}
	}
	return due
}

// Retry asks for more where what was asked for has not come.
func (h *Home) Retry(now time.Time) { h.settle(now) }

// doubt takes nodes that were asked and have not given for busy, whatever the last news said of them.
func (h *Home) doubt(q *queue) {
	for _, n := range q.set.members {
		if n != h.me && n.linked && len(n.idle) == 0 && h.underway(n, q) > 0 {
			n.Busy, n.ours = max(n.Busy, n.Slots), 0
		}
	}
}

// looked is how many nodes are looked at for one more job.
const looked = 4 * few

// cover asks for so many slots in all, as far as the set has them.
func (h *Home) cover(q *queue, goal int, now time.Time) {
	need, jobs := goal-q.sought, len(q.jobs)
	anew := q.sought == 0
	yields := h.yields(q, now)
	if q.set.mine && !yields {
		asked, free := h.underway(h.me, q), h.me.free()
		if anew {
			need -= spread * min(asked, free)
		}
		if k := min(jobs, free-asked); k > 0 {
			h.raise(h.me, q, k+asked, now)
			need -= spread * k // these are sure
		}
	}
	type offer struct {
		n     *node
		k     int // slots that it may still be asked for
		asked int
		used  float64
	}
	var room [few]offer
	list, free := room[:0], 0
	at := h.rand.IntN(len(q.set.members))
	for i := range q.set.members {
		if need <= 0 || !anew && (free >= 4*need && len(list) >= few/4 || i >= looked) {
			break
		}
		n := q.set.members[(i+at)%len(q.set.members)]
		if n == h.me && h.me.free() > 0 && !yields || !h.opens(n, q, now) {
			continue
		}
		asked := h.underway(n, q)
		if anew {
			need -= asked
		}
		if k := min(jobs, max(1, n.Slots)) - asked; k > 0 {
			list = append(list, offer{n, k, asked, n.used()})
			free += max(0, n.free()-asked)
		}
	}
	if need <= 0 {
		q.sought = goal
		return
	}
	slices.SortStableFunc(list, func(a, b offer) int {
		if fa, fb := a.used < 1, b.used < 1; fa != fb {
			if fa {
				return -1
			}
			return 1
		}
		if c := cmp.Compare(b.n.speed(), a.n.speed()); c != 0 {
			return c
		}
		if c := cmp.Compare(a.used, b.used); c != 0 {
			return c
		}
		return cmp.Compare(turn(a.n, h.me), turn(b.n, h.me))
	})
	each := (need + len(list)) / max(1, len(list))
	for _, o := range list {
		if need <= 0 {
			break
		}
		k := min(each, o.k, need)
		if o.used < 1 {
			k = min(k, max(1, o.n.free()-o.asked))
		}
		h.raise(o.n, q, k+o.asked, now)
		need -= k
	}
	q.wide = need > 0 && (anew || len(q.set.members) <= looked)
	q.sought = goal // where that is not so, it is for the next round to see
}

// turn is in which order nodes are asked that are used alike: those with a link, the others, this node, which would have been asked before if it did not yield.
func turn(n, me *node) int {
	switch {
	case n == me:
		return 2
	case n.linked:
		return 0
	}
	return 1
}

// yields says whether others are asked before this node: they are faster, or one of them is quieter and the job lasts.
func (h *Home) yields(q *queue, now time.Time) bool {
	if h.lame(q.set) {
		return true
	}
	if !h.lasts(q.jobs[0]) {
		return false
	}
	at := h.rand.IntN(len(q.set.members))
	for i := range min(few/4, len(q.set.members)) {
		n := q.set.members[(i+at)%len(q.set.members)]
		if n != h.me && h.quieter(n, h.me, q.jobs[0]) && n.speed()*alike >= h.me.speed() && h.opens(n, q, now) {
			return true
		}
	}
	return false
}

// underway is what the node was asked for and has not given.
func (h *Home) underway(n *node, q *queue) int {
	if s := n.find(q.share); s != nil {
		return max(0, s.told-s.running-len(n.idle))
	}
	return 0
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
