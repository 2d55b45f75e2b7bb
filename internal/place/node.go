package place

import (
	"slices"
	"time"

	"mexec"
)

// node is a node as a home sees it.
type node struct {
	mexec.Node
	at      int    // in Home.all
	seen    uint64 // the view that had it
	ours    int    // of its Busy, as far as this home knew when it heard of that
	running int
	jobs    []*job // that run there
	idle    []idleGrant
	stakes  []stake
	early   []Grant // recalled before they came
	until   time.Time
	cause   string // why it gets nothing until then
	refuses map[refusalKey]time.Time
	trouble trouble
	served  time.Time // when it last gave something
	linked  bool
	reset   time.Time // since when it is
	health
	active bool
	dirty  bool
}

// stake is what a share has on a node.
type stake struct {
	*share
	running int
	told    int // slots that it was last told to want
	memory  int64
}

type idleGrant struct {
	id     Grant
	memory int64 // that it comes with; 0: it is not counted
	until  time.Time
}

type refusalKey struct {
	reach Refusal
	uid   uint32
	what  [2]uint64
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

func (n *node) held() int { return n.running + len(n.idle) }

// busy is how many slots of a node are in use: those of others by the last news, ours as they are now.
func (n *node) busy() int { return max(0, n.Busy-n.ours) + n.held() }

// free is what a node has to give.
func (n *node) free() int {
	free := max(0, n.Slots-n.busy())
	if free == 0 || n.Memory == 0 || n.Free < 0 || n.Busy == 0 {
		return free
	}
	return min(free, int(n.Free/max(1, min(modest, n.Memory/int64(n.Slots))))) // as its Slots would, for jobs that nobody knows
}

// used is how much of a node is in use, as a part of its slots.
func (n *node) used() float64 { return float64(n.busy()) / float64(max(1, n.Slots)) }

// load is as used, but a grant that lies idle loads nobody.
func (n *node) load() float64 { return float64(n.busy()-len(n.idle)) / float64(max(1, n.Slots)) }

// speed is how fast the node runs what this one runs at 1. What differs by less than what is measured is the same.
func (n *node) speed() float64 {
	if n.Speed <= 0 || n.Speed > 0.9 && n.Speed < 1.1 {
		return 1
	}
	return n.Speed
}

func (n *node) stake(s *share) *stake {
	for i := range n.stakes {
		if n.stakes[i].share == s {
			return &n.stakes[i]
		}
	}
	n.stakes = append(n.stakes, stake{share: s})
	return &n.stakes[len(n.stakes)-1]
}

// find is as stake, but nil where there is none.
func (n *node) find(s *share) *stake {
	for i := range n.stakes {
		if n.stakes[i].share == s {
			return &n.stakes[i]
		}
	}
	return nil
}

// restless says whether Tick has something to take back, or to forget, where nothing waits.
func (n *node) restless() bool {
	return len(n.early)+len(n.refuses) > 0 || slices.ContainsFunc(n.stakes, func(s stake) bool { return s.told > s.running })
}

// want is all that the node is to be told.
func (n *node) want() []Share {
	var w []Share
	for _, s := range n.stakes {
		if s.told > 0 {
			w = append(w, Share{UID: s.uid, Build: s.build, Slots: s.told, Memory: s.memory})
		}
	}
	return w
}

// up says whether a node may get jobs at all.
func (h *Home) up(n *node, now time.Time) bool {
	return n == h.me || n.State == mexec.Up && !now.Before(n.until)
}

// open says whether a node of the set of a job may get it now.
func (h *Home) open(n *node, j *job, now time.Time) bool {
	if n == h.me {
		return true
	}
	if !h.up(n, now) || slices.Contains(j.refused, n.Name) || n.Memory > 0 && j.Need() > n.Memory && !j.queue.set.largest(n, h) ||
		h.spares(n, j.queue.set, now) {
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

// hold enters a grant.
func (h *Home) hold(n *node, g Grant, memory int64, lease time.Duration, now time.Time) {
	if i := slices.Index(n.early, g); i >= 0 {
		n.early = slices.Delete(n.early, i, i+1)
		lease = 0
	}
	if len(n.idle) == 0 {
		h.idles = append(h.idles, n)
	}
	n.idle = append(n.idle, idleGrant{g, memory, now.Add(lease)})
	n.served = now
	h.idle++
	h.wake(n)
}

// wake enters a node among those that Tick looks at.
func (h *Home) wake(n *node) {
	if !n.active {
		n.active = true
		h.active = append(h.active, n)
	}
}

// noIdle takes a node out of those that have idle grants, if it has none.
func (h *Home) noIdle(n *node) {
	if len(n.idle) > 0 {
		return
	}
	if i := slices.Index(h.idles, n); i >= 0 {
		last := len(h.idles) - 1
		h.idles[i] = h.idles[last]
		h.idles = h.idles[:last]
	}
}

// unused gives back what has lain idle for its lease.
func (h *Home) unused(n *node, now time.Time) {
	h.giveBack(n, func(g idleGrant) bool { return !now.Before(g.until) })
}

// giveBack returns the idle grants of a node that are due. The lowered want goes first, so that they don't come back.
func (h *Home) giveBack(n *node, due func(idleGrant) bool) {
	var ids []Grant
	memory := int64(0)
	n.idle = slices.DeleteFunc(n.idle, func(g idleGrant) bool {
		if due(g) {
			ids = append(ids, g.id)
			memory = max(memory, g.memory)
			return true
		}
		return false
	})
	if len(ids) == 0 {
		return
	}
	h.idle -= len(ids)
	h.noIdle(n)
	for i := range n.stakes {
		s := &n.stakes[i] // what waits can't use it, be it that it waits for more memory
		if s.waiting == 0 || memory == 0 || s.memory <= memory {
			s.told = min(s.told, s.running)
		} else {
			s.told = min(s.told, s.running+1)
		}
	}
	h.mark(n) // be it as before: what comes unwanted was given for a want that we no longer know of
	h.todo.Returns = append(h.todo.Returns, Return{n.Name, ids})
}

// tell sets what a node is to be told to want for a share.
func (h *Home) tell(n *node, s *stake, slots int, memory int64) {
	s.told, s.memory = slots, memory
	h.mark(n)
}

// mark has a node told what is wanted of it.
func (h *Home) mark(n *node) {
	h.wake(n)
	if !n.dirty {
		n.dirty = true
		h.dirty = append(h.dirty, n)
	}
}
