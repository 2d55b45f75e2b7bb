package simtest

import (
	"math/rand/v2"
	"time"

	"mexec"
	"mexec/internal/place"
)

// ours drives the production code of placement: a place.Home for each home, a place.Slots for each node, and between them messages as internal/link sends
// them. It does what the daemon's placer does, and decides nothing. All that depends on the shape of that package's interface is in this file.
type ours struct {
	w     *world
	homes map[int]*ourHome // by node
	slots []*place.Slots
	links map[[2]int]*link // home, worker
	view  []mexec.Node     // the rows that do not differ between homes
	names map[mexec.NodeID]int
	grant map[*job]place.Grant
}

type ourHome struct {
	*home
	place *place.Home
	jobs  map[mexec.JobID]*job // under way
	alarm time.Duration        // when it looks again
	links []*link              // all that were ever made
}

// epoch is the begin of a run on the clock that placement is told.
var epoch = time.Unix(1_000_000, 0)

func (o *ours) now() time.Time { return epoch.Add(o.w.now) }

// tick is how often both halves are given time, and view how often gossip's news of all nodes are, as in the daemon.
const (
	tick = 100 * time.Millisecond
	view = time.Second
)

func newOurs(w *world) scheduler {
	o := &ours{w: w, homes: map[int]*ourHome{}, links: map[[2]int]*link{}, names: map[mexec.NodeID]int{}, grant: map[*job]place.Grant{}}
	for _, n := range w.nodes {
		o.names[n.name] = n.id
		o.slots = append(o.slots, newSlots(n))
		o.view = append(o.view, mexec.Node{Number: n.id + 1, Name: n.name, State: mexec.Up, Slots: n.slots, Memory: n.memory, Speed: n.speed})
		w.every(o.phase(tick), tick, func() {
			if !n.down {
				o.slots[n.id].Tick(o.now())
				o.settle(n.id)
			}
		})
	}
	for _, h := range w.homes {
		us := &ourHome{home: h, place: place.NewHome(o.view[h.node], rand.New(rand.NewPCG(w.seed, uint64(h.node)))), jobs: map[mexec.JobID]*job{}}
		o.homes[h.node] = us
		o.tell(us)
		w.every(o.phase(tick), tick, func() {
			o.at(us).Tick(o.now())
			o.settle(h.node)
		})
		w.every(o.phase(view), view, func() {
			o.hear(us)
			o.settle(h.node)
		})
	}
	return o
}

func (o *ours) phase(period time.Duration) time.Duration {
	return time.Duration(o.w.rnd.Int64N(int64(period)))
}

// hear brings a home the news of a second: a window of gossip, and a beat of each worker that it has a link to.
func (o *ours) hear(h *ourHome) {
	for range newsEntries {
		n := o.w.nodes[o.w.rnd.IntN(len(o.w.nodes))]
		if l := o.links[[2]int{h.node, n.id}]; n.id != h.node && !o.w.absent(n.id) && !n.down && (l == nil || !l.up) {
			jobs, _ := o.w.gossip(n)
			o.update(h, n, mexec.Up, jobs)
		}
	}
	for _, l := range h.links {
		if n := o.w.nodes[l.node]; l.up && n.sampled > 0 {
			o.update(h, n, mexec.Up, int(n.samples[(n.sampled-1)%samplesKept]))
		}
	}
}

func (o *ours) update(h *ourHome, n *worker, state mexec.NodeState, busy int) {
	v := o.view[n.id]
	v.State, v.Busy = state, busy
	o.at(h).Update(v, o.now())
}

// tell gives a home its first view.
func (o *ours) tell(h *ourHome) {
	for i := range o.view {
		o.view[i].State = mexec.Up
		if o.w.absent(i) {
			o.view[i].State = mexec.Down
		}
	}
	o.view[h.node].State = mexec.Self
	o.at(h).View(o.view, o.now())
}

// known has all homes hear of a node that has come, or is gone.
func (o *ours) known(n *worker, state mexec.NodeState) {
	for _, h := range o.w.homes {
		if us := o.homes[h.node]; us.node != n.id {
			o.update(us, n, state, 0)
			o.settle(us.node)
		}
	}
}

// at is the placement of a home, told of the slots here as the daemon tells it before each call.
func (o *ours) at(h *ourHome) *place.Home {
	h.place.Own(o.slots[h.node])
	return h.place
}

// gossipDown is how long gossip takes to tell all of a node that is dead.
const gossipDown = 10 * time.Second

func (o *ours) submit(jobs []*job) {
	h := o.homes[jobs[0].home.node]
	for _, j := range jobs {
		h.jobs[j.id] = j
		o.at(h).Submit(o.job(j), o.now())
		o.settle(h.node)
	}
}

// job is what placement is told of one.
func (o *ours) job(j *job) place.Job {
	p := place.Job{ID: j.id, UID: uint32(1000 + j.user), Build: j.build}
	if o.w.shape.Known {
		p.Cost = mexec.Cost{Runs: 8, CPU: j.Work, Wall: j.Work, Memory: j.Memory}
		if usual, ok := o.w.shape.Sizes.usual[j.Kind]; ok {
			p.Cost.CPU, p.Cost.Wall = usual, usual
		}
	}
	return p
}

// settle does what a node's halves want done, until both rest.
func (o *ours) settle(node int) {
	h, s := o.homes[node], o.slots[node]
	for {
		var todo place.Todo
		if h != nil {
			todo = h.place.Take()
		}
		offers, recalls := s.Take()
		if todo.Empty() && len(offers)+len(recalls) == 0 {
			break
		}
		for _, a := range todo.Starts {
			to := o.names[a.Node]
			h.jobs[a.Job].placed = int32(to)
			o.toWorker(h, to, false, func() { o.start(h, to, a) })
		}
		for _, a := range todo.Wants {
			to := o.names[a.Node]
			if to != node && o.link(h, to) == nil {
				continue // the link is being made, and tells the want when it stands
			}
			o.toWorker(h, to, true, func() { o.slots[to].Want(o.w.nodes[node].name, a.Shares, o.now()) })
		}
		for _, a := range todo.Returns {
			to := o.names[a.Node]
			o.toWorker(h, to, true, func() { o.slots[to].Return(o.w.nodes[node].name, a.Grants, o.now()) })
		}
		for _, a := range offers {
			o.w.given += len(a.Grants)
			o.toHome(o.names[a.Home], node, true, func(h *ourHome) {
				o.at(h).Granted(o.w.nodes[node].name, a, o.now())
			})
		}
		for _, a := range recalls {
			o.toHome(o.names[a.Home], node, true, func(h *ourHome) { o.at(h).Recalled(o.w.nodes[node].name, a.Grants, o.now()) })
		}
	}
	if h != nil {
		o.retry(h)
	}
}

// retry has a home look again when it wants to, as the daemon's timer does.
func (o *ours) retry(h *ourHome) {
	due := h.place.Due()
	if due.IsZero() || h.alarm > o.w.now && !due.Before(epoch.Add(h.alarm)) {
		return
	}
	at := max(o.w.now, due.Sub(epoch))
	h.alarm = at
	o.w.at(at, func() {
		if h.alarm == at {
			h.alarm = 0
			o.at(h).Retry(o.now())
			o.settle(h.node)
		}
	})
}

// toWorker has something done at a worker: here at once, elsewhere when the message arrives.
func (o *ours) toWorker(h *ourHome, node int, note bool, do func()) {
	if h.node == node {
		do()
		return
	}
	if l := o.links[[2]int{h.node, node}]; l != nil && l.up {
		o.w.post(l, toWorker, note, func() { do(); o.settle(node) })
	}
}

func (o *ours) toHome(home, node int, note bool, do func(h *ourHome)) {
	h := o.homes[home]
	if home == node {
		do(h)
		return
	}
	if l := o.links[[2]int{home, node}]; l != nil && l.up {
		o.w.post(l, toHome, note, func() { do(h); o.settle(home) })
	}
}

// link returns the link to a worker if it stands. Where it does not, it is made.
func (o *ours) link(h *ourHome, node int) *link {
	key := [2]int{h.node, node}
	l := o.links[key]
	if l == nil {
		l = &link{home: h.node, node: node}
		o.links[key] = l
		h.links = append(h.links, l)
	}
	if l.up {
		return l
	}
	if l.dialling {
		return nil
	}
	l.dialling = true
	n := o.w.nodes[node]
	took := o.w.shape.Net.Dial
	for range 6 { // three round trips: TCP, TLS, the first note
		took += o.w.shape.Net.delay(o.w.rnd)
	}
	o.w.messages += 6
	if n.down || o.w.apart(h.node, node) > 0 {
		took = time.Second // dialTime
	}
	o.w.after(took, func() {
		l.dialling = false
		if n.down || o.w.apart(h.node, node) > 0 {
			l.fails++
			o.at(h).Down(n.name, o.now().Add(min(time.Second<<min(l.fails-1, 10), 30*time.Second)), "no answer", o.now())
			o.settle(h.node)
			return
		}
		l.up, l.fails = true, 0
		l.life++
		l.last = [2]time.Duration{}
		o.slots[node].Gone(o.w.nodes[h.node].name, o.now()) // what it knew of an earlier life
		o.settle(node)
		o.at(h).Reset(n.name, o.now())
		o.settle(h.node)
	})
	return nil
}

// start begins a job at a worker, or has its home know that the grant was void.
func (o *ours) start(h *ourHome, node int, a place.Start) {
	j, n := h.jobs[a.Job], o.w.nodes[node]
	if out := o.slots[node].Start(o.w.nodes[h.node].name, a.Grant, a.UID, a.Build, a.Memory, o.now()); out != place.Started {
		reach := place.RefusedGrant
		if out == place.NoMemory {
			reach = place.RefusedMemory
		}

		o.toHome(h.node, node, false, func(h *ourHome) {
			j.placed = -1
			o.at(h).Refused(a.Job, reach, "void", o.now())
		})
		return
	}
	o.grant[j] = a.Grant
	o.w.begin(j, n)
}

func (o *ours) finished(j *job, n *worker) {
	renewed := o.slots[n.id].End(o.grant[j], o.now())
	delete(o.grant, j)
	if renewed.Grant != 0 {
		o.w.given++
	}
	o.toHome(j.home.node, n.id, false, func(h *ourHome) {
		delete(h.jobs, j.id)
		o.at(h).Ended(j.id, renewed, o.now())
		o.w.done(j)
	})
	o.settle(n.id) // not before: a home that is here is told at once
}
