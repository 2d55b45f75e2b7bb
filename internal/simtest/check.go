package simtest

import (
	"container/heap"
	"fmt"
	"math"
	"time"
)

// check watches what must hold in every run.
//
// Work is conserved: no slot stays idle for longer than the network excuses while a home has a job that may run there. It is measured where a
// job begins, exactly: the time for which that job has waited and some slot of the cluster has been free without a pause, both at once, is
// idle time that the placement has lost. A node counts as free from the moment from which it has had fewer jobs than slots all the
// time, a slot that is granted and unused is idle, and all live nodes count, whether this home has ever heard of them or not.
type check struct {
	w        *world
	problems []string
	quiet    time.Duration // lost time is not counted against the scheduler before this, for something was broken
	lost     []float32     // seconds, of each job that began
	most     time.Duration // the longest of them
	idle     idleNodes
	busy     []time.Duration // of each user: slot time so far
	since    []time.Duration // when it was last reckoned
	now      []int           // slots that he has
	jain     []float64       // in each window of fairWindow
}

func (c *check) init(w *world) {
	c.w = w
	users := w.shape.users()
	c.busy, c.since, c.now = make([]time.Duration, users), make([]time.Duration, users), make([]int, users)
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
	if n.running+1 >= n.slots {
		c.full(n)
	}
	c.reckon(j.user, 1)
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
	if n.pos < 0 && !n.down {
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
