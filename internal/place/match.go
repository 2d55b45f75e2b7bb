package place

import (
	"fmt"
	"slices"
	"time"

	"mexec"
)

// hop is what a command costs more elsewhere than here, at least.
const hop = time.Millisecond

// lasting is how long a job takes at least that the hop is nothing to, so that it goes to the quieter node.
const lasting = 50 * hop

// heavy is how long one takes at least that leaves this node at a tie: a script that waits for each of its compilers has nothing to run meanwhile.
const heavy = 4 * lasting

// look is how many nodes with idle grants are compared for one job.
const look = 64

// sample is on how many nodes that are too slow for the first job of a long queue others are tried, and how many of its first and of its last.
const sample = 4

// told is how many candidates a Start tells of.
const told = 5

// match starts what can be started with the grants that are idle.
func (h *Home) match(now time.Time) {
	h.round++
	for h.idle > 0 {
		q := h.next()
		if q == nil {
			return
		}
		j := q.jobs[0]
		n, g := h.best(j, now)
		if n == nil {
			j, n, g = h.other(q, now)
		}
		if n == nil || h.nearer(j, n, now) {
			q.tried = h.round
			continue
		}
		h.start(j, n, g, now)
	}
}

// best finds the idle grant with which a job is expected to end first, where that is equal that of the quietest node, then this node's.
func (h *Home) best(j *job, now time.Time) (best *node, grant int) {
	var least time.Duration
	for i := range min(look, len(h.idles)) {
		n := h.idles[len(h.idles)-1-i]
		if i == 0 && len(h.me.idle) > 0 {
			n = h.me
		} else if n == h.me {
			n = h.idles[len(h.idles)-1]
		}
		g, cost, _ := h.suits(n, j, now)
		if g >= 0 && (best == nil || cost < least || cost == least && h.quieter(n, best, j)) {
			best, grant, least = n, g, cost
		}
	}
	return best, grant
}

// nearer says whether a job that is alone should rather have the slot that is free here: of this node's no grant lies idle merely because none was asked for since. What was
// asked for and has not come is not waited for.
func (h *Home) nearer(j *job, n *node, now time.Time) bool {
	q, me := j.queue, h.me
	if n == me || h.waiting > 1 || len(me.idle) > 0 || me.free() == 0 || h.underway(me, q) > 0 || now.Sub(j.since) >= Patience ||
		!q.set.mine || h.yields(q, now) || h.foremost(me, q, now) == nil || h.cost(me, j) > h.cost(n, j) {
		return false
	}
	q.sought, q.wide, q.spent = 0, false, false // it is asked for anew, and this node the first
	return true
}

func (h *Home) lasts(j *job) bool { return h.takes(j) >= lasting }

// quieter says whether a node has less to run than another: two jobs on one share its caches, its memory and often its cores. Where neither runs any,
// this node still has the tool to run whose build it is.
func (h *Home) quieter(n, than *node, j *job) bool {
	a, b := n.load(), than.load()
	return a < b || a == 0 && b == 0 && than == h.me && j.Build != "" && h.takes(j) >= heavy
}

// suits says with which of its idle grants a node would run a job and when it would end, or why none (-1).
func (h *Home) suits(n *node, j *job, now time.Time) (grant int, cost time.Duration, why string) {
	cost = h.cost(n, j)
	switch {
	case !j.queue.at(n, h):
		return -1, cost, "not asked for"
	case !h.open(n, j, now):
		return -1, cost, h.shut(n, j, now)
	}
	if grant = n.grantFor(j); grant < 0 {
		return -1, cost, "too little memory"
	}
	if h.holds(j, n, now) {
		return -1, cost, "slow: to wait for another takes less"
	}
	return grant, cost, "free"
}

// shut words why a node can't have a job.
func (h *Home) shut(n *node, j *job, now time.Time) string {
	switch {
	case n.State != mexec.Up:
		return string(n.State)
	case now.Before(n.until):
		return n.cause
	case slices.Contains(j.refused, n.Name):
		return "refused it"
	case h.spares(n, j.queue.set, now):
		return n.ill
	case len(n.refuses) > 0:
		return "refused others like it"
	}
	return "too little memory"
}

// at says whether the jobs of a queue may go to a node.
func (q *queue) at(n *node, h *Home) bool {
	return q.set.wish.Any() && !q.here || n == h.me && q.set.mine || !q.here && q.set.names(n)
}

// cost is how long a job is expected to take on a node, with the hop if it is something to it.
func (h *Home) cost(n *node, j *job) time.Duration {
	cost := h.takes(j)
	if s := n.speed(); s != 1 {
		cost = time.Duration(float64(cost) / s)
	}
	if n != h.me && !h.lasts(j) {
		cost += hop
	}
	return cost
}

// grantFor is the idle grant of a node that a job takes: the smallest that has the memory which it needs, else the largest, which its worker may
// make larger still, unless that is known to be in vain.
func (n *node) grantFor(j *job) int {
	need, best := j.Need(), -1
	if need == 0 {
		return 0
	}
	for i, g := range n.idle {
		if b := best; b < 0 || g.memory >= need && (n.idle[b].memory < need || g.memory < n.idle[b].memory) || g.memory < need && g.memory > n.idle[b].memory {
			best = i
		}
	}
	if best >= 0 && n.idle[best].memory > 0 && n.Memory > 0 && n.idle[best].memory < min(need, n.Memory) &&
		(j.strict || n.idle[best].memory+n.Free < need) {
		return -1
	}
	return best
}

// other finds a job of a queue that can use some idle grant where its first can't.
func (h *Home) other(q *queue, now time.Time) (best *job, on *node, grant int) {
	for i, tries := 0, 0; i < min(look, len(h.idles)) && tries < sample; i++ {
		n := h.idles[(uint64(i)+h.round)%uint64(len(h.idles))]
		if len(q.jobs) == 1 || !q.at(n, h) {
			continue
		}
		jobs, slow := q.jobs, len(q.jobs) > 2*sample && q.odd == 0 && h.holds(q.jobs[0], n, now)
		if slow {
			tries++
		}
		for k := 0; k < len(jobs); k++ {
			if slow && k == sample { // the later a job's turn, the less speaks against a slow node
				k = len(jobs) - sample
			}
			if j := jobs[k]; best == nil || j.before(best) {
				if g, _, _ := h.suits(n, j, now); g >= 0 {
					best, on, grant = j, n, g
				}
			}
		}
	}
	return best, on, grant
}

// start starts a job with a grant of a node.
func (h *Home) start(j *job, n *node, grant int, now time.Time) {
	considered := h.consider(j, n, now)
	g := n.idle[grant]
	n.idle = slices.Delete(n.idle, grant, grant+1)
	h.idle--
	h.noIdle(n)
	q := j.queue
	q.moved = now
	h.on(j, n, now)
	h.leave(j)
	if q.wide && len(q.jobs) > 0 {
		h.raise(n, q, min(len(q.jobs), max(1, n.Slots)), now)
	} else if q.sought > 0 {
		q.sought--
	}
	h.todo.Starts = append(h.todo.Starts, Start{
		Job: j.ID, Node: n.Name, Grant: g.id, UID: j.UID, Build: j.Build, Memory: j.Need(), Why: h.why(j, n, now), Considered: considered,
	})
}

// on and off count a job where it runs.
func (h *Home) on(j *job, n *node, now time.Time) {
	j.node, j.started = n, now
	h.moves++
	n.running++
	j.place = len(n.jobs)
	n.jobs = append(n.jobs, j)
	n.stake(j.queue.share).running++
	j.queue.running++
	h.running[j.UID]++
	h.wake(n)
}

func (h *Home) off(j *job) {
	n := j.node
	j.node = nil
	h.moves++
	n.running--
	last := len(n.jobs) - 1
	n.jobs[j.place] = n.jobs[last]
	n.jobs[j.place].place = j.place
	n.jobs[last] = nil
	n.jobs = n.jobs[:last]
	n.stake(j.queue.share).running--
	j.queue.running--
	if h.running[j.UID]--; h.running[j.UID] == 0 {
		delete(h.running, j.UID)
	}
}

// why words why a job starts there.
func (h *Home) why(j *job, n *node, now time.Time) string {
	why := j.Here
	switch {
	case why != "":
	case n == h.me:
		why = fmt.Sprintf("a free slot here: %d of %d in use by this node", n.running, n.Slots)
	default:
		why = fmt.Sprintf("first free slot: %d of %d in use by this node", n.running, n.Slots)
	}
	if waited := now.Sub(j.since); waited > time.Millisecond {
		why += fmt.Sprintf(", after %v", waited.Round(time.Millisecond))
	}
	return why
}

// expected is what is known of how long a job will be on a node that it can start on now, 0 if nothing is. What it would have to wait for elsewhere nobody knows, and
// what the jobs of its queue usually take is good enough to place it by, but no word to give to people.
func (h *Home) expected(n *node, j *job) time.Duration {
	if j.Cost.Wall == 0 {
		return 0
	}
	return h.cost(n, j)
}

// consider lists the node that a job starts on and some that it could have gone to: those with idle grants, those that refused it, this node.
func (h *Home) consider(j *job, n *node, now time.Time) []Candidate {
	if cap(h.slab)-len(h.slab) < told {
		h.slab = make([]Candidate, 0, 64*told)
	}
	list := append(h.slab[len(h.slab):len(h.slab):len(h.slab)+told], Candidate{n.Name, h.expected(n, j), "chosen"})
	if j.Here == "" {
		for i := 0; i < len(h.idles) && len(list) < told-1; i++ {
			o := h.idles[len(h.idles)-1-i]
			if o == n {
				continue
			}
			grant, _, why := h.suits(o, j, now)
			c := Candidate{Node: o.Name, Why: why}
			if grant >= 0 {
				c.Cost = h.expected(o, j)
			}
			list = append(list, c)
		}
		for _, name := range j.refused {
			if len(list) < told-1 {
				list = append(list, Candidate{Node: name, Why: "refused it"})
			}
		}
		if n != h.me && len(h.me.idle) == 0 {
			why := "no free slot"
			if !j.queue.set.mine {
				why = "not asked for"
			}
			list = append(list, Candidate{Node: h.me.Name, Why: why})
		}
	}
	h.slab = h.slab[:len(h.slab)+len(list)]
	return list[:len(list):len(list)]
}
