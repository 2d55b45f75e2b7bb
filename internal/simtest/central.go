package simtest

import (
	"container/heap"
	"time"
)

// omniscient is the ideal: one scheduler for all, no message takes any time, and it knows how long each job will run and how fast each node
// is. A job goes, as it comes, to the slot where it will end first. On nodes of one speed that is the order of arrival from one queue.
type omniscient struct {
	w       *world
	classes []*class
	on      map[*job]*slot
}

// class is the slots of nodes of one speed, the one that will be free first on top.
type class struct {
	speed float64
	slots []*slot
}

type slot struct {
	free  time.Duration // when all that is queued here will have ended
	node  *worker
	busy  bool
	queue []*job
}

func (c *class) Len() int           { return len(c.slots) }
func (c *class) Less(i, j int) bool { return c.slots[i].free < c.slots[j].free }
func (c *class) Swap(i, j int)      { c.slots[i], c.slots[j] = c.slots[j], c.slots[i] }
func (c *class) Push(any)           { panic("slots don't grow") }
func (c *class) Pop() any           { panic("slots don't shrink") }

func newOmniscient(w *world) scheduler {
	o := &omniscient{w: w, on: map[*job]*slot{}}
	speeds := map[float64]*class{}
	for _, n := range w.nodes {
		c := speeds[n.speed]
		if c == nil {
			c = &class{speed: n.speed}
			speeds[n.speed] = c
			o.classes = append(o.classes, c)
		}
		for range n.slots {
			c.slots = append(c.slots, &slot{node: n})
		}
	}
	return o
}

func (o *omniscient) submit(jobs []*job) {
	for _, j := range jobs {
		var best *class
		var end time.Duration
		for _, c := range o.classes {
			e := max(o.w.now, c.slots[0].free) + time.Duration(float64(j.Work)/c.speed)
			if best == nil || e < end {
				best, end = c, e
			}
		}
		s := best.slots[0]
		s.free = end
		heap.Fix(best, 0)
		s.queue = append(s.queue, j)
		o.serve(s)
	}
}

func (o *omniscient) serve(s *slot) {
	if s.busy || len(s.queue) == 0 {
		return
	}
	j := s.queue[0]
	s.queue = s.queue[1:]
	s.busy = true
	o.on[j] = s
	o.w.begin(j, s.node)
}

func (o *omniscient) finished(j *job, n *worker) {
	s := o.on[j]
	delete(o.on, j)
	s.busy = false
	o.serve(s)
	o.w.done(j)
}
