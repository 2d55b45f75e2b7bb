package simtest

import "time"

// clock is the only clock of a run: the queue of what is going to happen. Time is counted from the begin of the run.
type clock struct {
	now   time.Duration
	seq   uint64
	queue []event // a heap of four children a node, half as deep as one of two
}

type event struct {
	at  time.Duration
	seq uint64 // what was entered first happens first
	do  func()
}

func (e event) before(o event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// at has something done at a time, which is not before now.
func (c *clock) at(when time.Duration, do func()) {
	c.seq++
	e := event{max(when, c.now), c.seq, do}
	q := append(c.queue, e)
	i := len(q) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(q[up]) {
			break
		}
		q[i] = q[up]
		i = up
	}
	q[i] = e
	c.queue = q
}

func (c *clock) after(d time.Duration, do func()) { c.at(c.now+d, do) }

// every has something done again and again while the run goes on.
func (c *clock) every(first, period time.Duration, do func()) {
	var again func()
	again = func() {
		do()
		c.after(period, again)
	}
	c.at(first, again)
}

// run lets time pass until nothing is left to happen, done says so, or the time is up.
func (c *clock) run(until time.Duration, done func() bool) {
	for len(c.queue) > 0 && !done() {
		e := c.pop()
		if e.at > until {
			return
		}
		c.now = e.at
		e.do()
	}
}

func (c *clock) pop() event {
	q := c.queue
	top, last := q[0], q[len(q)-1]
	q[len(q)-1] = event{}
	q = q[:len(q)-1]
	c.queue = q
	if len(q) == 0 {
		return top
	}
	i := 0
	for {
		child := 4*i + 1
		if child >= len(q) {
			break
		}
		beyond := min(child+4, len(q))
		for k := child + 1; k < beyond; k++ {
			if q[k].before(q[child]) {
				child = k
			}
		}
		if !q[child].before(last) {
			break
		}
		q[i] = q[child]
		i = child
	}
	q[i] = last
	return top
}
