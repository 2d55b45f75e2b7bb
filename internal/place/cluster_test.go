package place

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mexec"
)

// A small cluster of real Homes and Slots, with messages that take random time, in order on each link, and links that break. Its only clock is the
// queue of events.
type simCluster struct {
	t      *testing.T
	r      *rand.Rand
	now    time.Time
	queue  events
	seq    int
	nodes  []*simNode
	links  map[[2]mexec.NodeID]*simLink
	ended  int
	differ bool // nodes differ in speed
	wide   bool // limits have shrunk: what was granted before may exceed them
}

type simNode struct {
	name  mexec.NodeID
	home  *Home
	slots *Slots
	runs  int
	speed float64
	free  time.Time               // since when it has a free slot
	last  time.Time               // when a job last ended there
	jobs  map[mexec.JobID]*simJob // under way at this home
}

type simJob struct {
	Job
	sent    mexec.NodeID // where it is, empty while it waits
	lost    []mexec.NodeID
	waiting time.Time
}

// simLink is the link of a home to a worker: nothing of an earlier life of it arrives.
type simLink struct {
	up   bool
	life int
	last [2]time.Time // when what was sent last arrives, to the worker and back
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

func (c *simCluster) link(home, worker *simNode) *simLink {
	key := [2]mexec.NodeID{home.name, worker.name}
	l := c.links[key]
	if l == nil {
		l = &simLink{}
		c.links[key] = l
	}
	return l
}

// send delivers on the link of a home to a worker, to either side: after a while, never before what was sent earlier, and not if
// the link breaks before. What is to be done at the node itself is done at once.
func (c *simCluster) send(home, worker *simNode, back bool, do func()) {
	if home == worker {
		do()
		return
	}
	l, way := c.link(home, worker), 0
	if back {
		way = 1
	}
	if !l.up {
		return
	}
	at := c.now.Add(time.Duration(50+c.r.IntN(3000)) * time.Microsecond)
	if at.Before(l.last[way]) {
		at = l.last[way]
	}
	l.last[way] = at
	life := l.life
	c.after(at.Sub(c.now), func() {
		if l.up && l.life == life {
			do()
			if back {
				c.settle(home)
			} else {
				c.settle(worker)
			}
		}
	})
}

// dial makes a link that a want needs.
func (c *simCluster) dial(home, worker *simNode) {
	l := c.link(home, worker)
	if home == worker || l.up {
		return
	}
	l.up = true
	life := l.life
	c.after(time.Duration(c.r.IntN(3000))*time.Microsecond, func() {
		if l.life == life {
			worker.slots.Gone(home.name, c.now)
			c.settle(worker)
			home.home.Reset(worker.name, c.now)
			c.settle(home)
		}
	})
}

// cut breaks a link: the jobs on it are killed and lost.
func (c *simCluster) cut(home, worker *simNode) {
	l := c.link(home, worker)
	if home == worker || !l.up {
		return
	}
	l.up, l.life = false, l.life+1
	worker.slots.Gone(home.name, c.now)
	c.settle(worker)
	home.home.Down(worker.name, c.now.Add(50*time.Millisecond), "cut", c.now)
	var lost []*simJob
	for _, j := range home.jobs {
		if j.sent == worker.name {
			lost = append(lost, j)
		}
	}
	slices.SortFunc(lost, func(a, b *simJob) int { return int(a.ID) - int(b.ID) })
	for _, j := range lost {
		j.sent, j.waiting = "", c.now
		j.lost = append(j.lost, worker.name)
		home.home.Ended(j.ID, Renewal{}, c.now)
		home.home.Again(j.Job, j.lost, c.now)
	}
	c.settle(home)
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
	for rounds := 0; ; rounds++ {
		if rounds > 1000 {
			c.t.Fatalf("%s never rests", n.name)
		}
		n.home.Own(n.slots)
		todo := n.home.Take()
		offers, recalls := n.slots.Take()
		if todo.Empty() && len(offers)+len(recalls) == 0 {
			break
		}
		for _, s := range todo.Starts {
			j := n.jobs[s.Job]
			if j == nil || j.sent != "" {
				c.t.Fatalf("job %d of %s was started twice", s.Job, n.name)
			}
			if j.sent = s.Node; len(s.Considered) == 0 || s.Considered[0].Node != s.Node {
				c.t.Fatalf("job %d of %s: it was chosen from %v", s.Job, n.name, s.Considered)
			}
			w := c.node(s.Node)
			c.send(n, w, false, func() { c.begin(n, w, j, s) })
		}
		for _, w := range todo.Wants {
			to := c.node(w.Node)
			if len(w.Shares) > 0 {
				c.dial(n, to)
			}
			c.send(n, to, false, func() { to.slots.Want(n.name, w.Shares, c.now) })
		}
		for _, r := range todo.Returns {
			to := c.node(r.Node)
			c.send(n, to, false, func() { to.slots.Return(n.name, r.Grants, c.now) })
		}
		for _, o := range offers {
			to := c.node(o.Home)
			c.send(to, n, true, func() { to.home.Granted(n.name, o, c.now) })
		}
		for _, r := range recalls {
			to := c.node(r.Home)
			c.send(to, n, true, func() { to.home.Recalled(n.name, r.Grants, c.now) })
		}
	}
	if s := n.slots; !c.wide && (s.Busy() > s.Total() || s.Memory() > 0 && s.Reserved() > s.Memory()) {
		c.t.Fatalf("%s: %d of %d slots, %d of %d bytes", n.name, s.Busy(), s.Total(), s.Reserved(), s.Memory())
	}
	switch free := n.slots.Free() > 0; {
	case !free:
		n.free = time.Time{}
	case n.free.IsZero():
		n.free = c.now
	}
}

func (c *simCluster) begin(home, worker *simNode, j *simJob, s Start) {
	refuse := func(reach Refusal) {
		c.send(home, worker, true, func() {
			j.sent, j.waiting = "", c.now
			home.home.Refused(s.Job, reach, "no", c.now)
		})
	}
	switch worker.slots.Start(home.name, s.Grant, s.UID, s.Build, s.Memory, c.now) {
	case VoidGrant:
		refuse(RefusedGrant)
		return
	case NoMemory:
		refuse(RefusedMemory)
		return
	}
	if c.r.IntN(200) == 0 {
		worker.slots.Cancel(s.Grant, c.now)
		refuse([]Refusal{RefusedJob, RefusedDir, RefusedUser, RefusedAll}[c.r.IntN(4)])
		return
	}
	worker.runs++
	if worker.runs > worker.slots.Total() && !c.wide {
		c.t.Fatalf("%d jobs on the %d slots of %s", worker.runs, worker.slots.Total(), worker.name)
	}
	life := c.link(home, worker).life
	takes := time.Duration(c.r.ExpFloat64() * float64(5*time.Millisecond))
	if j.Cost.Wall > 0 && worker.speed > 0 {
		takes = time.Duration(float64(j.Cost.Wall) / worker.speed * (0.5 + c.r.Float64()))
	}
	c.after(takes, func() {
		worker.last = c.now
		worker.runs--
		if life != c.link(home, worker).life {
			worker.slots.Cancel(s.Grant, c.now)
			c.settle(worker)
			return
		}
		renewed := worker.slots.End(s.Grant, c.now)
		c.send(home, worker, true, func() {
			if home.jobs[s.Job] != j {
				c.t.Fatalf("job %d of %s ended twice", s.Job, home.name)
			}
			delete(home.jobs, s.Job)
			c.ended++
			home.home.Ended(s.Job, renewed, c.now)
		})
		c.settle(worker)
	})
}

// idle looks for a slot that was free for long while a job waited that may run there.
func (c *simCluster) idle(long time.Duration) {
	for _, w := range c.nodes {
		if w.free.IsZero() || c.now.Sub(w.free) < long {
			continue
		}
		if k := w.slots.first(false, c.now); c.differ && w.slots.Memory() > 0 && (c.now.Sub(w.last) < long || k != nil && (k.passed || w.slots.first(true, c.now) == nil)) {
			continue // for memory, which takes a while where jobs do
		}
		for _, h := range c.nodes {
			n := h.home.nodes[w.name]
			for _, j := range h.jobs {
				in := h.home.jobs[j.ID]
				if j.sent != "" || c.now.Sub(j.waiting) < long || in == nil || c.now.Sub(in.patient) < long || c.now.Sub(n.until) < long || c.now.Sub(n.trouble.until) < long || !in.queue.at(n, h.home) || !h.home.open(n, in, c.now) {
					continue
				}
				if w.slots.Memory() == 0 || w.slots.Reserved()+w.slots.need(in.Need()) <= w.slots.Memory() {
					c.t.Fatalf("%v: %s has %d free slots since %v; job %d of %s waits since %v: %+v %+v", c.now.Sub(t0), w.name, w.slots.Free(),
						w.free.Sub(t0), j.ID, h.name, j.waiting.Sub(t0), in, n)
				}
			}
		}
	}
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

// Every job that is submitted starts once, ends, and never has company beyond the slots or the memory, whatever the messages' delays, and whatever
// links break; and no slot stays free while a job waits that may have it, unless it waits for a faster one, and that not for long.
func TestEveryJobEndsWhateverCrossesOnTheWay(t *testing.T) {
	for seed := range uint64(120) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			c := &simCluster{t: t, r: r, now: t0, links: map[[2]mexec.NodeID]*simLink{}, differ: seed%5 > 2}
			breaks, limits, memory := seed%4 == 1, seed%4 == 2, seed%3 > 0
			var view []mexec.Node
			for i := range 2 + r.IntN(4) {
				v := upNode(i+1, mexec.NodeID(fmt.Sprint("n", i+1)), 1+r.IntN(8))
				if memory {
					v.Memory = int64(1+r.IntN(8)) << 30
					v.Free = v.Memory
				}
				view = append(view, v)
			}
			for i, v := range view {
				n := &simNode{name: v.Name, home: NewHome(v, rand.New(rand.NewPCG(seed, uint64(i)))), slots: NewSlots(v.Slots), jobs: map[mexec.JobID]*simJob{}}
				n.slots.Limit(v.Slots, v.Memory, t0)
				if c.differ {
					n.speed = []float64{0.25, 1, 1, 4}[r.IntN(4)]
				}
				own := slices.Clone(view)
				own[i].State = mexec.Self
				n.home.View(own, c.now)
				c.nodes = append(c.nodes, n)
			}
			for i, n := range c.nodes {
				var tick func()
				tick = func() {
					n.slots.Tick(c.now)
					n.home.Tick(c.now)
					c.settle(n)
					for k, o := range c.nodes { // the news
						v := view[k]
						if c.differ {
							v.Speed = o.speed / n.speed
						}
						v.Slots, v.Busy, v.Memory, v.Free = o.slots.Total(), o.slots.Busy(), o.slots.Memory(), max(0, o.slots.Memory()-o.slots.Reserved())
						n.home.Update(v, c.now)
					}
					c.settle(n)
					if breaks && r.IntN(20) == 0 && c.now.Sub(t0) < 10*time.Second {
						c.cut(n, c.nodes[r.IntN(len(c.nodes))])
					}
					if limits && r.IntN(10) == 0 {
						c.wide = true
						total := r.IntN(view[i].Slots + 1)
						if c.now.Sub(t0) > 10*time.Second {
							total = view[i].Slots
						}
						n.slots.Limit(total, view[i].Memory, c.now)
						c.settle(n)
					}
					c.idle(400 * time.Millisecond)
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
						j := &simJob{Job: Job{ID: id, UID: uint32(r.IntN(3)), Build: mexec.BuildID([]string{"", "b"}[r.IntN(2)])}}
						if r.IntN(2) == 0 {
							j.Nodes = nodes(t, fmt.Sprint(1+r.IntN(len(view))))
						}
						if r.IntN(3) == 0 {
							j.Cost = mexec.Cost{Runs: 1, Wall: time.Duration(r.IntN(100)) * time.Millisecond, Memory: r.Int64N(3 << 30)}
						}
						total++
						c.after(at+time.Duration(r.IntN(2000))*time.Microsecond, func() {
							j.waiting = c.now
							n.jobs[j.ID] = j
							n.home.Submit(j.Job, c.now)
							c.settle(n)
						})
					}
					at += time.Duration(r.IntN(2500)) * time.Millisecond
				}
			}
			c.run(t0.Add(60 * time.Second))
			if c.ended != total {
				for _, n := range c.nodes {
					t.Logf("%s: %d jobs under way, %d wait; %d of %d slots busy, %d of %d bytes", n.name, len(n.jobs), n.home.Waiting(), n.slots.Busy(), n.slots.Total(), n.slots.Reserved(), n.slots.Memory())
				}
				t.Fatalf("%d of %d jobs ended", c.ended, total)
			}
			for _, n := range c.nodes {
				if n.slots.Busy() != 0 || n.slots.Reserved() != 0 || n.slots.short != 0 {
					t.Errorf("%s: %d slots and %d bytes still held, %d slots wanted, when all is idle", n.name, n.slots.Busy(), n.slots.Reserved(), n.slots.short)
				}
			}
		})
	}
}
