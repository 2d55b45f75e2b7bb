package place

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"mexec"
)

// A small cluster of real Homes and Slots, with messages that take random time, in order on each link. Its only clock is the queue of events.
type simCluster struct {
	t     *testing.T
	r     *rand.Rand
	now   time.Time
	queue events
	seq   int
	nodes []*simNode
	wire  map[[2]mexec.NodeID]time.Time // when the last message of a link arrives
	ended int
}

type simNode struct {
	name  mexec.NodeID
	home  *Home
	slots *Slots
	runs  int
	jobs  map[mexec.JobID]bool // under way at this home
}

type event struct {
	at  time.Time
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

func (c *simCluster) after(d time.Duration, do func()) {
	c.seq++
	heap.Push(&c.queue, event{c.now.Add(d), c.seq, do})
}

// send delivers on a link from one node to another: after a while, never before what was sent earlier.
func (c *simCluster) send(from, to *simNode, do func()) {
	if from == to {
		do()
		return
	}
	at := c.now.Add(time.Duration(50+c.r.IntN(3000)) * time.Microsecond)
	key := [2]mexec.NodeID{from.name, to.name}
	if last := c.wire[key]; at.Before(last) {
		at = last
	}
	c.wire[key] = at
	c.after(at.Sub(c.now), do)
}

func (c *simCluster) node(id mexec.NodeID) *simNode {
	for _, n := range c.nodes {
		if n.name == id {
			return n
		}
	}
	c.t.Fatalf("no node %s", id)
	return nil
}

// settle does what a node wants done until it rests, as the daemon's placer does.
func (c *simCluster) settle(n *simNode) {
	for {
		todo := n.home.Take()
		offers, recalls := n.slots.Take()
		if todo.Empty() && len(offers)+len(recalls) == 0 {
			return
		}
		for _, s := range todo.Starts {
			c.send(n, c.node(s.Node), func() { c.begin(n, c.node(s.Node), s) })
		}
		for _, w := range todo.Wants {
			to := c.node(w.Node)
			c.send(n, to, func() { to.slots.Want(n.name, w.Shares, c.now); c.wake(to, n) })
		}
		for _, r := range todo.Returns {
			to := c.node(r.Node)
			c.send(n, to, func() { to.slots.Return(n.name, r.Grants, c.now); c.wake(to, n) })
		}
		for _, o := range offers {
			to := c.node(o.Home)
			c.send(n, to, func() { to.home.Granted(n.name, o, c.now); c.wake(to, n) })
		}
		for _, r := range recalls {
			to := c.node(r.Home)
			c.send(n, to, func() { to.home.Recalled(n.name, r.Grants, c.now); c.wake(to, n) })
		}
	}
}

// wake settles a node that a message reached; one to itself is settled by the loop that sent it.
func (c *simCluster) wake(n, from *simNode) {
	if n != from {
		c.settle(n)
	}
}

func (c *simCluster) begin(home, worker *simNode, s Start) {
	switch worker.slots.Start(home.name, s.Grant, s.UID, s.Build, s.Memory, c.now) {
	case VoidGrant:
		c.send(worker, home, func() { home.home.Refused(s.Job, RefusedGrant, "void", c.now); c.wake(home, worker) })
		return
	case NoMemory:
		c.send(worker, home, func() { home.home.Refused(s.Job, RefusedMemory, "too little memory", c.now); c.wake(home, worker) })
		return
	}
	worker.runs++
	if worker.runs > worker.slots.Total() {
		c.t.Fatalf("%d jobs on the %d slots of %s", worker.runs, worker.slots.Total(), worker.name)
	}
	c.after(time.Duration(c.r.ExpFloat64()*float64(5*time.Millisecond)), func() {
		worker.runs--
		renewed := worker.slots.End(s.Grant, c.now)
		c.settle(worker)
		c.send(worker, home, func() {
			if !home.jobs[s.Job] {
				c.t.Fatalf("job %d of %s ended twice", s.Job, home.name)
			}
			delete(home.jobs, s.Job)
			c.ended++
			home.home.Ended(s.Job, renewed, c.now)
			c.settle(home)
		})
	})
}

func (c *simCluster) run(until time.Time) {
	for c.queue.Len() > 0 {
		e := heap.Pop(&c.queue).(event)
		if e.at.After(until) {
			return
		}
		c.now = e.at
		e.do()
	}
}

// Every job that is submitted starts once, ends, and never has company beyond the slots, whatever the messages' delays.
func TestEveryJobEndsWhateverCrossesOnTheWay(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			c := &simCluster{t: t, r: r, now: t0, wire: map[[2]mexec.NodeID]time.Time{}}
			var view []mexec.Node
			for i := range 2 + r.IntN(4) {
				view = append(view, upNode(i+1, mexec.NodeID(fmt.Sprint("n", i+1)), 1+r.IntN(8)))
			}
			for i, v := range view {
				n := &simNode{name: v.Name, home: NewHome(v, rand.New(rand.NewPCG(seed, uint64(i)))), slots: NewSlots(v.Slots), jobs: map[mexec.JobID]bool{}}
				own := append([]mexec.Node{}, view...)
				own[i].State = mexec.Self
				n.home.View(own, c.now)
				c.nodes = append(c.nodes, n)
			}
			for _, n := range c.nodes {
				var tick func()
				tick = func() {
					n.slots.Tick(c.now)
					n.home.Tick(c.now)
					c.settle(n)
					c.after(100*time.Millisecond, tick)
				}
				c.after(time.Duration(r.IntN(100))*time.Millisecond, tick)
			}
			total := 0
			for _, n := range c.nodes[:1+r.IntN(len(c.nodes))] {
				id := mexec.JobID(0)
				at := time.Duration(0)
				for range 1 + r.IntN(6) { // bursts with pauses, some longer than a lease
					for range 1 + r.IntN(80) {
						id++
						job := Job{ID: id}
						if r.IntN(2) == 0 {
							job.Nodes = nodes(t, fmt.Sprint(1+r.IntN(len(view))))
						}
						total++
						c.after(at+time.Duration(r.IntN(2000))*time.Microsecond, func() {
							n.jobs[job.ID] = true
							n.home.Submit(job, c.now)
							c.settle(n)
						})
					}
					at += time.Duration(r.IntN(2500)) * time.Millisecond
				}
			}
			c.run(t0.Add(60 * time.Second))
			if c.ended != total {
				for _, n := range c.nodes {
					t.Logf("%s: %d jobs under way, %d wait; %d of %d slots busy", n.name, len(n.jobs), n.home.Waiting(), n.slots.Busy(), n.slots.Total())
				}
				t.Fatalf("%d of %d jobs ended", c.ended, total)
			}
			for _, n := range c.nodes {
				if n.slots.Busy() != 0 {
					t.Errorf("%s: %d slots still held when all is idle", n.name, n.slots.Busy())
				}
			}
		})
	}
}
