package place

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"mexec"
)

// Job is what placement needs to know of a command.
type Job struct {
	ID    mexec.JobID
	Nodes Nodes
	Here  string    // not empty: the job can only run on this node, and this is why
	UID   uint32    // whose it is
	Dir   [2]uint64 // device and inode of its directory
	Prog  [2]uint64 // and of its program
	Build mexec.BuildID
	Cost  mexec.Cost // what its kind has taken
}

// Need is the memory that a job is granted, 0 where nobody knows. The margin above the peaks that were seen is history's to add, which knows how far they are apart.
func (j *Job) Need() int64 { return j.Cost.Memory }

// Refusal says how far a node's refusal reaches.
type Refusal int

const (
	RefusedGrant   Refusal = iota // the grant was void: ask again
	RefusedJob                    // only this job
	RefusedDir                    // every job of this user in this directory
	RefusedProgram                // every job of this user that runs this program
	RefusedUser                   // every job of this user
	RefusedAll                    // every job, for a while
	RefusedAlike                  // it would be refused alike everywhere: it belongs here
	RefusedMemory                 // the node has not as much memory now: ask for a grant that comes with it
)

// forget is how long a refusal is remembered: what was not mounted may be by then.
const forget = 10 * time.Second

// Start, Want and Return are what a Home wants done. Todo lists them, in the order in which they are to be done.
type Start struct {
	Job        mexec.JobID
	Node       mexec.NodeID
	Grant      Grant
	UID        uint32
	Build      mexec.BuildID
	Memory     int64       // that the job needs, 0: not known
	Why        string      // one line for people
	Considered []Candidate // the node and what it was chosen from, some of it. Not to be changed
}

// Candidate is a node that a job could have gone to.
type Candidate struct {
	Node mexec.NodeID
	Cost time.Duration // until its end there, as far as that can be told; 0: it can't
	Why  string        // why it was taken or not
}

// Want is all that the home would hold of a node; no shares: nothing.
type Want struct {
	Node   mexec.NodeID
	Shares []Share
}

// Slots is the sum of the shares.
func (w Want) Slots() (n int) {
	for _, s := range w.Shares {
		n += s.Slots
	}
	return n
}

type Return struct {
	Node   mexec.NodeID
	Grants []Grant
}

type Todo struct {
	Starts  []Start
	Wants   []Want
	Returns []Return
}

// Empty says that nothing is to be done.
func (t *Todo) Empty() bool { return len(t.Starts)+len(t.Wants)+len(t.Returns) == 0 }

// Home is the home's half of placement.
//
// Its work for one job does not grow with the cluster: of many nodes it deals with a set (set.go), and it looks at jobs by queue (queue.go).
type Home struct {
	rand  *rand.Rand
	me    *node
	nodes map[mexec.NodeID]*node
	all   []*node // me first
	views uint64
	epoch uint64    // counts what could change where jobs may go
	moves uint64    // counts starts and ends
	began time.Time // when the first job came
	lags  lags

	sets []*set // one for each wish
	here *set   // this node alone

	jobs    map[mexec.JobID]*job // that wait or run
	queues  map[queueKey]*queue
	busy    []*queue // those with jobs that wait
	shares  map[shareKey]*share
	running map[uint32]int // by user
	waiting int

	idle   int     // unused grants on all nodes
	idles  []*node // that have some
	active []*node // that hold or refuse something, or were told a want
	dirty  []*node // whose want is to be told

	todo  Todo
	slab  []Candidate
	round uint64
}

// NewHome returns the home's half of the node self, which is a candidate from the start. Random numbers serve to choose which of many
// nodes it deals with.
func NewHome(self mexec.Node, r *rand.Rand) *Home {
	self.State = mexec.Self
	h := &Home{
		rand: r, nodes: map[mexec.NodeID]*node{}, jobs: map[mexec.JobID]*job{}, queues: map[queueKey]*queue{},
		shares: map[shareKey]*share{}, running: map[uint32]int{},
	}
	h.me = &node{Node: self}
	h.nodes[self.Name] = h.me
	h.all = []*node{h.me}
	h.here = &set{pool: h.all[:1:1], members: h.all[:1:1], mine: true}
	return h
}

// Take returns what is to be done since the last call.
func (h *Home) Take() Todo {
	t := h.todo
	h.todo = Todo{}
	for _, n := range h.dirty {
		n.dirty = false
		t.Wants = append(t.Wants, Want{n.Name, n.want()})
	}
	h.dirty = h.dirty[:0]
	return t
}

// Waiting is how many jobs wait for a grant.
func (h *Home) Waiting() int { return h.waiting }

// Submit enters a job.
func (h *Home) Submit(j Job, now time.Time) {
	h.enter(&job{Job: j, since: now}, now)
	h.settle(now)
}

// Again enters a job anew that nodes have lost: before the others, and not for these.
func (h *Home) Again(j Job, lost []mexec.NodeID, now time.Time) {
	h.enter(&job{Job: j, since: now, first: true, refused: slices.Clone(lost), last: fmt.Sprintf("%s lost it", lost[len(lost)-1])}, now)
	h.settle(now)
}

// Withdraw takes a waiting job out: its caller is gone.
func (h *Home) Withdraw(id mexec.JobID) {
	if j := h.jobs[id]; j != nil && j.node == nil {
		delete(h.jobs, id)
		h.leave(j)
	}
}

// Granted enters grants that a node gave.
func (h *Home) Granted(id mexec.NodeID, o Offer, now time.Time) {
	n := h.nodes[id]
	if n == nil {
		h.todo.Returns = append(h.todo.Returns, Return{id, o.Grants})
		return
	}
	for _, g := range o.Grants {
		h.hold(n, g, o.Memory, o.Lease, now)
	}
	h.settle(now)
	h.unused(n, now)
}

// Recalled gives grants back that a node asks for, if they are still unused. One that has yet to arrive, with the news of an end,
// goes back if nothing can use it then.
func (h *Home) Recalled(id mexec.NodeID, ids []Grant, now time.Time) {
	n := h.nodes[id]
	if n == nil {
		return
	}
	for _, g := range ids {
		if !slices.ContainsFunc(n.idle, func(i idleGrant) bool { return i.id == g }) && len(n.early) < 64 {
			n.early = append(n.early, g)
		}
	}
	h.giveBack(n, func(g idleGrant) bool { return slices.Contains(ids, g.id) })
	h.settle(now)
}

// Ended says that a job no longer runs where it was started; renewed is the grant that came with the news.
func (h *Home) Ended(id mexec.JobID, renewed Renewal, now time.Time) {
	j := h.jobs[id]
	if j == nil || j.node == nil {
		return
	}
	n := j.node
	delete(h.jobs, id)
	h.fared(j, now)
	h.off(j)
	if renewed.Grant != 0 {
		h.hold(n, renewed.Grant, renewed.Memory, renewed.Lease, now)
		h.settle(now)
		h.unused(n, now)
	}
}

// Refused says that the node would not run a job that it was sent: nothing has run, and the job goes elsewhere.
func (h *Home) Refused(id mexec.JobID, reach Refusal, why string, now time.Time) {
	j := h.jobs[id]
	if j == nil || j.node == nil {
		return
	}
	n := j.node
	h.off(j)
	j.first, j.last = true, fmt.Sprintf("%s refused: %s", n.Name, why)
	switch reach {
	case RefusedGrant:
	case RefusedJob:
		h.failed(n, "", now) // the words may name somebody's files
	case RefusedMemory:
		j.strict = true
		if n.Memory == 0 { // how much to ask for is not known either
			reach = RefusedJob
		} else if s, memory := n.stake(j.queue.share), min(j.Need(), n.Memory); s.memory < memory {
			h.tell(n, s, max(s.told, s.running+1), memory)
		}
	case RefusedAlike:
		j.Here = j.last
	case RefusedAll:
		n.until, n.cause = now.Add(time.Second), why
		n.trouble = refusal(reach, why, n.until)
		h.failed(n, ": "+why, now)
	default:
		if n.refuses == nil {
			n.refuses = map[refusalKey]time.Time{}
		}
		n.refuses[j.key(reach)] = now.Add(forget)
		n.trouble = refusal(reach, why, now.Add(forget))
	}
	if reach != RefusedGrant && reach != RefusedMemory {
		j.refused = append(j.refused, n.Name)
	}
	h.epoch++
	h.enter(j, now)
	h.settle(now)
}

// Down says that a node can't be reached until then. Its grants are void.
func (h *Home) Down(id mexec.NodeID, until time.Time, why string, now time.Time) {
	n := h.nodes[id]
	if n == nil {
		return
	}
	h.void(n)
	n.until, n.cause, n.linked = until, why, false
	if why != "" && n.running > 0 {
		h.broke(n, why, now)
	}
	h.settle(now)
}

// Reset says that a new connection to a node stands, which knows nothing of what was told before.
func (h *Home) Reset(id mexec.NodeID, now time.Time) {
	if n := h.nodes[id]; n != nil {
		h.void(n)
		n.until, n.linked, n.reset = time.Time{}, true, now
		h.settle(now)
	}
}

// void forgets what was told to a node and what it gave.
func (h *Home) void(n *node) {
	h.epoch++
	h.idle -= len(n.idle)
	n.idle, n.early = nil, nil
	h.noIdle(n)
	for i := range n.stakes {
		n.stakes[i].told = 0
	}
}

// Tick lets idle grants go back and stale wants down; to be called a few times a second.
func (h *Home) Tick(now time.Time) {
	h.epoch++
	h.active = slices.DeleteFunc(h.active, func(n *node) bool {
		h.unused(n, now)
		for k, until := range n.refuses {
			if !now.Before(until) {
				delete(n.refuses, k)
			}
		}
		n.stakes = slices.DeleteFunc(n.stakes, func(s stake) bool { return s.running == 0 && s.told == 0 })
		for i := range n.stakes {
			if s := &n.stakes[i]; s.waiting == 0 && s.told > s.running {
				h.tell(n, s, s.running, 0)
			}
		}
		n.active = n.running+len(n.idle)+len(n.stakes)+len(n.refuses)+len(n.early) > 0
		return !n.active
	})
	h.renew(now)
	h.forget(now)
	h.settle(now)
}

// Calm says that nothing waits or is held unused, or was told and is no longer so: until something comes, Tick has little to do and may come once a second.
func (h *Home) Calm() bool {
	return h.waiting == 0 && h.idle == 0 && !slices.ContainsFunc(h.active, (*node).restless)
}

// settle is the one place where jobs meet grants: it keeps jobs that no node may have here, starts what can be started, and
// asks for slots for the rest.
func (h *Home) settle(now time.Time) {
	if h.waiting == 0 {
		return
	}
	h.strand(now)
	if h.idle > 0 {
		h.match(now)
	}
	for _, q := range h.busy {
		h.ask(q, now)
	}
}
