package simtest

import (
	"cmp"
	"container/heap"
	"fmt"
	"math"
	"slices"
	"time"
)

// owner is whose jobs it are, at one home.
type owner struct {
	home *home
	user int
}

// overtaken is by how much later ones of its own home and user a job may be passed. It is none of the order that a scheduler keeps, but the point
// from which a job starves.
const overtaken = 10 * time.Second

// check watches what must hold in every run.
//
// Work is conserved: no slot stays idle for longer than the network excuses while a home has a job that may run there. It is measured where a
// job begins, exactly: the time for which that job has waited and some slot of the cluster has been free without a pause, both at once, is
// idle time that the placement has lost. A node counts as free from the moment from which it has had fewer jobs than slots all the
// time, a slot that is granted and unused is idle, and all live nodes count, whether this home has ever heard of them or not. But a slow node does not where costs are known:
// a job may rightly wait for a faster one.
type check struct {
	w        *world
	problems []string
	quiet    time.Duration // lost time is not counted against the scheduler before this, for something was broken
	lost     []float32     // seconds, of each job that began
	most     time.Duration // the longest of them
	idle     idleNodes
	busy     []time.Duration         // of each user: slot time so far
	since    []time.Duration         // when it was last reckoned
	now      []int                   // slots that he has
	waits    []int                   // his jobs that wait
	had, due []float64               // of each user: slots that he had and that were his due, over samples
	latest   map[owner]time.Duration // the last submission of the jobs that have begun, of each
}

func (c *check) init(w *world) {
	c.w = w
	users := w.shape.users()
	c.latest = map[owner]time.Duration{}
	c.busy, c.since, c.now, c.waits = make([]time.Duration, users), make([]time.Duration, users), make([]int, users), make([]int, users)
	c.had, c.due = make([]float64, users), make([]float64, users)
}

// say notes a problem, with what repeats it.
func (c *check) say(format string, args ...any) {
	if len(c.problems) < 20 {
		c.problems = append(c.problems, fmt.Sprintf("at %v: ", c.w.now)+fmt.Sprintf(format, args...))
	}
}

func (c *check) begins(j *job, n *worker) {
	switch {
	case n.running >= n.slots:
		c.say("%d jobs on the %d slots of %s", n.running+1, n.slots, n.name)
	case n.memory > 0 && n.used+j.Memory > n.memory:
		c.say("%d bytes on %s that has %d", n.used+j.Memory, n.name, n.memory)
	case n.down:
		c.say("job %d begins on %s, which is down", j.id, n.name)
	case j.running:
		c.say("job %d runs twice", j.id)
	case j.ends > 0:
		c.say("job %d begins after its end", j.id)
	}
	if len(c.idle) > 0 && j.life == 0 && !j.hurt {
		lost := c.w.now - max(j.at, c.idle[0].idle, c.quiet)
		if j.measured {
			c.lost = append(c.lost, float32(max(0, lost).Seconds()))
		}
		c.most = max(c.most, lost)
	}
	if !j.hurt {
		p := owner{j.home, j.user}
		if late := c.latest[p] - j.at; late > overtaken && c.w.judged {
			c.say("job %d begins after one that came %v later", j.id, late)
		}
		c.latest[p] = max(c.latest[p], j.at)
	}
	if n.running+1 >= n.slots {
		c.full(n)
	}
	c.reckon(j.user, 1)
	if j.life == 0 {
		c.waits[j.user]--
	}
}

func (c *check) stops(j *job, n *worker) { c.reckon(j.user, -1) }

func (c *check) reckon(user, more int) {
	c.busy[user] += time.Duration(c.now[user]) * (c.w.now - c.since[user])
	c.since[user] = c.w.now
	c.now[user] += more
}

func (c *check) ends(j *job) {
	if j.ends > 1 {
		c.say("job %d ends %d times", j.id, j.ends)
	}
}

// idles says that a node has a free slot.
func (c *check) idles(n *worker) {
	if n.pos < 0 && !n.down && (n.speed >= 1 || !c.w.shape.Known) {
		n.idle = c.w.now
		heap.Push(&c.idle, n)
	}
}

// full says that a node has none, or is gone.
func (c *check) full(n *worker) {
	if n.pos >= 0 {
		heap.Remove(&c.idle, n.pos)
		n.pos = -1
	}
}

// fair reckons how evenly the users were served since it was last called: Jain's index, 1 where all have had the same.
func (c *check) fair(before []time.Duration) (index float64, now []time.Duration) {
	sum, squares := 0.0, 0.0
	for u := range c.busy {
		c.reckon(u, 0)
		x := (c.busy[u] - before[u]).Seconds()
		sum += x
		squares += x * x
	}
	if squares == 0 {
		return math.NaN(), append([]time.Duration{}, c.busy...)
	}
	return sum * sum / (float64(len(c.busy)) * squares), append([]time.Duration{}, c.busy...)
}

// sample notes what each user has now, and what is his due: as much as he wants, or as all others may have who want more than that.
func (c *check) sample(capacity float64) {
	users := make([]int, len(c.now))
	for u := range users {
		users[u] = u
	}
	wants := func(u int) float64 { return float64(c.now[u] + c.waits[u]) }
	slices.SortFunc(users, func(a, b int) int { return cmp.Compare(wants(a), wants(b)) })
	for i, u := range users {
		due := min(wants(u), capacity/float64(len(users)-i))
		capacity -= due
		c.due[u] += due
		c.had[u] += min(due, float64(c.now[u]))
	}
}

// least is the least part of his due that a user had since it was last asked.
func (c *check) least() float64 {
	least := 1.0
	for u := range c.due {
		if c.due[u] > 0 {
			least = min(least, c.had[u]/c.due[u])
		}
		c.had[u], c.due[u] = 0, 0
	}
	return least
}

// idleNodes are the nodes with a free slot, the longest idle first.
type idleNodes []*worker

func (q idleNodes) Len() int           { return len(q) }
func (q idleNodes) Less(i, j int) bool { return q[i].idle < q[j].idle }
func (q idleNodes) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].pos, q[j].pos = i, j
}
func (q *idleNodes) Push(x any) {
	n := x.(*worker)
	n.pos = len(*q)
	*q = append(*q, n)
}
func (q *idleNodes) Pop() any {
	old := *q
	n := old[len(old)-1]
	*q = old[:len(old)-1]
	n.pos = -1
	return n
}

// judge says what of a whole run breaks the rules.
func (c *check) judge(r *Result) {
	for _, j := range c.w.jobs {
		if j.ends != 1 {
			c.say("job %d of home %d, submitted at %v, has ended %d times", j.id, j.home.node, j.at, j.ends)
		}
	}
	if !c.w.judged {
		return
	}
	if most := c.w.shape.excused(); c.most > most && c.w.shape.Memory == 0 && c.w.shape.Slow == 0 {
		c.say("a slot was idle and a job waited, both for %v, at most %v", c.most, most)
	}
	for i, jain := range r.Jain {
		if jain < leastJain {
			c.say("Jain's index of the users is %.4f in window %d, at least %v", jain, i, leastJain)
		}
	}
}

// leastJain is how evenly equal users have to be served over each fairWindow.
const leastJain = 0.98
