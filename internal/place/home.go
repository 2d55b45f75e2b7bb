package place

import (
	"fmt"
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
)

// forget is how long a refusal is remembered: what was not mounted may be by then.
const forget = 10 * time.Second

// overdue is how long a job may wait before its home stops believing that the nodes it asked are free, and asks all.
const overdue = 50 * time.Millisecond

// Start, Want and Return are what a Home wants done. Todo lists them; starts first.
type Start struct {
	Job   mexec.JobID
	Node  mexec.NodeID
	Grant Grant
	Why   string
}

type Want struct {
	Node  mexec.NodeID
	Slots int // in all, jobs that run there and unused grants included
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

// Home is the home's half of placement.
type Home struct {
	self    mexec.NodeID
	nodes   map[mexec.NodeID]*node
	order   []*node // self first, then by number
	waiting []*job  // oldest first
	running map[mexec.JobID]*job
	idle    int // unused grants on all nodes
	todo    Todo
}

type job struct {
	Job
	since   time.Time
	node    *node // where it runs, nil while it waits
	refused []mexec.NodeID
	last    string // the last refusal
}

type node struct {
	mexec.Node
	running int
	idle    []idleGrant
	wanted  int // as last told
	until   time.Time
	cause   string // why it gets nothing until then
	refuses map[refusalKey]time.Time
}

type idleGrant struct {
	id    Grant
	until time.Time
}

type refusalKey struct {
	reach Refusal
	uid   uint32
	what  [2]uint64
}

// NewHome returns the home's half of the node self, which is a candidate from the start.
func NewHome(self mexec.Node) *Home {
	self.State = mexec.Self
	h := &Home{self: self.Name, nodes: map[mexec.NodeID]*node{}, running: map[mexec.JobID]*job{}}
	h.View([]mexec.Node{self}, time.Time{})
	return h
}

// Take returns what is to be done since the last call.
func (h *Home) Take() Todo {
	t := h.todo
	h.todo = Todo{}
	return t
}

// Waiting is how many jobs wait for a grant.
func (h *Home) Waiting() int { return len(h.waiting) }

// View tells which nodes there are now. Self must be among them.
func (h *Home) View(view []mexec.Node, now time.Time) {
	seen := map[mexec.NodeID]bool{}
	for _, v := range view {
		seen[v.Name] = true
		n := h.nodes[v.Name]
		if n == nil {
			n = &node{refuses: map[refusalKey]time.Time{}}
			h.nodes[v.Name] = n
		}
		n.Node = v
	}
	h.order = h.order[:0]
	for id, n := range h.nodes {
		if !seen[id] {
			n.State = mexec.Down
			if n.running == 0 && len(n.idle) == 0 {
				delete(h.nodes, id)
				continue
			}
		}
		h.order = append(h.order, n)
	}
	slices.SortFunc(h.order, func(a, b *node) int {
		switch {
		case a.Name == h.self:
			return -1
		case b.Name == h.self:
			return 1
		}
		return a.Number - b.Number
	})
	h.settle(now)
}

// Submit enters a job.
func (h *Home) Submit(j Job, now time.Time) {
	h.waiting = append(h.waiting, &job{Job: j, since: now})
	h.settle(now)
}

// Again enters a job anew that nodes have lost: before the others, and not for these.
func (h *Home) Again(j Job, lost []mexec.NodeID, now time.Time) {
	back := &job{Job: j, since: now, refused: slices.Clone(lost), last: fmt.Sprintf("%s lost it", lost[len(lost)-1])}
	h.waiting = slices.Insert(h.waiting, 0, back)
	h.settle(now)
}

// Withdraw takes a waiting job out: its caller is gone.
func (h *Home) Withdraw(id mexec.JobID) {
	h.waiting = slices.DeleteFunc(h.waiting, func(j *job) bool { return j.ID == id })
}

// Granted enters grants that a node gave.
func (h *Home) Granted(id mexec.NodeID, ids []Grant, lease time.Duration, now time.Time) {
	n := h.nodes[id]
	if n == nil {
		h.todo.Returns = append(h.todo.Returns, Return{id, ids})
		return
	}
	for _, g := range ids {
		n.idle = append(n.idle, idleGrant{g, now.Add(lease)})
		h.idle++
	}
	h.settle(now)
}

// Recalled gives grants back that a node asks for, if they are still unused.
func (h *Home) Recalled(id mexec.NodeID, ids []Grant) {
	if n := h.nodes[id]; n != nil {
		h.giveBack(n, func(g idleGrant) bool { return slices.Contains(ids, g.id) })
	}
}

// Ended says that a job no longer runs where it was started; renewed is the grant that came with the news, 0 for none.
func (h *Home) Ended(id mexec.JobID, renewed Grant, lease time.Duration, now time.Time) {
	j := h.running[id]
	if j == nil {
		return
	}
	delete(h.running, id)
	j.node.running--
	if renewed != 0 {
		h.Granted(j.node.Name, []Grant{renewed}, lease, now)
	}
}

// Refused says that the node would not run a job that it was sent: nothing has run, and the job goes elsewhere.
func (h *Home) Refused(id mexec.JobID, reach Refusal, why string, now time.Time) {
	j := h.running[id]
	if j == nil {
		return
	}
	delete(h.running, id)
	n := j.node
	n.running--
	j.node, j.last = nil, fmt.Sprintf("%s refused: %s", n.Name, why)
	switch reach {
	case RefusedGrant, RefusedJob:
	case RefusedAlike:
		j.Here = j.last
	case RefusedAll:
		n.until, n.cause = now.Add(time.Second), why
	default:
		n.refuses[j.key(reach)] = now.Add(forget)
	}
	if reach != RefusedGrant {
		j.refused = append(j.refused, n.Name)
	}
	h.waiting = slices.Insert(h.waiting, 0, j)
	h.settle(now)
}

// Down says that a node can't be reached until then. Its grants are void.
func (h *Home) Down(id mexec.NodeID, until time.Time, why string, now time.Time) {
	n := h.nodes[id]
	if n == nil {
		return
	}
	h.idle -= len(n.idle)
	n.idle, n.wanted = nil, 0
	n.until, n.cause = until, why
	h.settle(now)
}

// Reset says that a new connection to a node stands, which knows nothing of what was told before.
func (h *Home) Reset(id mexec.NodeID, now time.Time) {
	if n := h.nodes[id]; n != nil {
		h.idle -= len(n.idle)
		n.idle, n.wanted, n.until = nil, n.running, time.Time{}
		h.settle(now)
	}
}

// Tick lets idle grants go back and stale wants down; to be called a few times a second.
func (h *Home) Tick(now time.Time) {
	for _, n := range h.order {
		h.giveBack(n, func(g idleGrant) bool { return !now.Before(g.until) })
		for k, until := range n.refuses {
			if !now.Before(until) {
				delete(n.refuses, k)
			}
		}
		if held := n.running + len(n.idle); len(h.waiting) == 0 && held < n.wanted {
			h.tell(n, held)
		}
	}
	h.settle(now)
}

// giveBack returns the idle grants of a node that are due. The lowered want goes first, so that they don't come back.
func (h *Home) giveBack(n *node, due func(idleGrant) bool) {
	var ids []Grant
	n.idle = slices.DeleteFunc(n.idle, func(g idleGrant) bool {
		if due(g) {
			ids = append(ids, g.id)
			return true
		}
		return false
	})
	if len(ids) == 0 {
		return
	}
	h.idle -= len(ids)
	if held := n.running + len(n.idle); held < n.wanted {
		h.tell(n, held)
	}
	h.todo.Returns = append(h.todo.Returns, Return{n.Name, ids})
}

func (h *Home) tell(n *node, slots int) {
	n.wanted = slots
	h.todo.Wants = append(h.todo.Wants, Want{n.Name, slots})
}

func (j *Job) key(reach Refusal) refusalKey {
	k := refusalKey{reach: reach, uid: j.UID}
	switch reach {
	case RefusedDir:
		k.what = j.Dir
	case RefusedProgram:
		k.what = j.Prog
	}
	return k
}

// open says whether a node may get this job now.
func (h *Home) open(n *node, j *job, now time.Time) bool {
	if n.Name == h.self {
		return j.Here != "" || j.Nodes.Match(n.Number, n.Name)
	}
	if j.Here != "" || n.State != mexec.Up || now.Before(n.until) || slices.Contains(j.refused, n.Name) ||
		!j.Nodes.Match(n.Number, n.Name) {
		return false
	}
	if len(n.refuses) > 0 {
		for _, reach := range [...]Refusal{RefusedDir, RefusedProgram, RefusedUser} {
			if _, ok := n.refuses[j.key(reach)]; ok {
				return false
			}
		}
	}
	return true
}

// settle is the one place where jobs meet grants: it starts what can be started, keeps jobs that no node may have here, and
// asks for slots for the rest.
func (h *Home) settle(now time.Time) {
	if len(h.waiting) == 0 {
		return
	}
	for _, j := range h.waiting {
		if j.Here == "" && !slices.ContainsFunc(h.order, func(n *node) bool { return h.open(n, j, now) }) {
			j.Here = h.whyNobody(j, now)
		}
	}
	h.waiting = slices.DeleteFunc(h.waiting, func(j *job) bool { return h.idle > 0 && h.start(j, now) })
	if len(h.waiting) > 0 {
		h.ask(now)
	}
}

// whyNobody words why no node may have a job.
func (h *Home) whyNobody(j *job, now time.Time) string {
	if j.last != "" {
		return j.last
	}
	for _, n := range h.order {
		if n.Name != h.self && j.Nodes.Match(n.Number, n.Name) && now.Before(n.until) {
			return fmt.Sprintf("%s: %s", n.Name, n.cause)
		}
	}
	return fmt.Sprintf("no node of NODES=%s is up and takes it", j.Nodes)
}

// start gives a job the cheapest grant that it may use: this node's first, then that of the node with the least to do.
func (h *Home) start(j *job, now time.Time) bool {
	var best *node
	for _, n := range h.order {
		if len(n.idle) > 0 && h.open(n, j, now) && (best == nil || best.Name != h.self && n.cost() < best.cost()) {
			best = n
		}
	}
	if best == nil {
		return false
	}
	g := best.idle[0]
	best.idle = best.idle[1:]
	h.idle--
	best.running++
	j.node = best
	h.running[j.ID] = j
	why := j.Here
	switch {
	case why != "":
	case best.Name == h.self:
		why = fmt.Sprintf("a free slot here: %d of %d in use by this node", best.running, best.Slots)
	default:
		why = fmt.Sprintf("first free slot: %d of %d in use by this node", best.running, best.Slots)
	}
	if waited := now.Sub(j.since); waited > time.Millisecond {
		why += fmt.Sprintf(", after %v", waited.Round(time.Millisecond))
	}
	h.todo.Starts = append(h.todo.Starts, Start{j.ID, best.Name, g.id, why})
	return true
}

func (n *node) cost() float64 { return float64(n.running) / float64(max(1, n.Slots)) }

// free is what the last news said that a node has to give.
func (n *node) free() int { return max(0, n.Slots-max(n.Busy, n.running+len(n.idle))) }

// ask raises wants until the slots that are believed to be free cover the jobs that wait; the cheapest nodes first. Where
// they don't, every node that may have a job is asked: the job starts where a slot comes free first. What is held already is no limit
// to a want: a job that runs there may have lent its slot, which only its worker knows.
func (h *Home) ask(now time.Time) {
	left := len(h.waiting)
	late := now.Sub(h.waiting[0].since) > overdue
	by := slices.Clone(h.order)
	if len(by) > 2 {
		slices.SortStableFunc(by[1:], func(a, b *node) int {
			switch ca, cb := a.cost(), b.cost(); {
			case ca < cb:
				return -1
			case ca > cb:
				return 1
			}
			return 0
		})
	}
	for _, n := range by {
		if left <= 0 {
			return
		}
		held, more := n.running+len(n.idle), 0
		for _, j := range h.waiting {
			if more >= max(1, n.Slots) {
				break
			}
			if h.open(n, j, now) {
				more++
			}
		}
		if more == 0 {
			continue
		}
		if held+more > n.wanted {
			h.tell(n, held+more)
		}
		if !late {
			left -= min(more, n.free())
		}
	}
}
