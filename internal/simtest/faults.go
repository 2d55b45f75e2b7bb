package simtest

import (
	"slices"
	"time"

	"mexec"
	"mexec/internal/place"
)

// settling is how long after a fault is mended lost time is still excused: homes try again after pauses that double, and gossip needs its time.
const settling = 10 * time.Second

// break_ has the shape's faults happen.
func (w *world) break_() {
	for _, f := range w.shape.Faults {
		w.at(f.At, func() {
			w.check.quiet = max(w.check.quiet, f.At+f.For+settling)
			switch f.Kind {
			case crash:
				for _, n := range w.nodes[w.shape.Nodes-f.Nodes:] {
					w.crash(n)
					w.after(f.For, func() { w.restart(n) })
				}
			case partition:
				w.splitUntil = f.At + f.For
				w.split = func(node int) bool { return node >= w.shape.Nodes-f.Nodes }
				w.after(cutAfter, func() { w.sched.(faulty).parted() })
			case slow: // see pace
			}
		})
	}
	if w.shape.Joins > 0 {
		w.at(w.shape.Warm/2, func() {
			w.check.quiet = w.now + settling
			for _, n := range w.nodes[w.shape.Joins:] {
				w.check.idles(n)
				if f, ok := w.sched.(faulty); ok {
					f.joined(n)
				}
			}
		})
	}
}

// faulty is a scheduler that can live with faults.
type faulty interface {
	crashed(n *worker)
	restarted(n *worker)
	joined(n *worker)
	parted() // for as long as a link lives without being heard
}

// crash takes a node away, and what runs there. It is for nodes that are no homes: a home's jobs go with it.
func (w *world) crash(n *worker) {
	n.down, n.since = true, w.now
	w.check.full(n)
	for _, j := range w.jobs {
		if j.running && int(j.node) == n.id {
			w.stop(j, n)
		}
	}
	w.sched.(faulty).crashed(n)
}

func (w *world) restart(n *worker) {
	n.down = false
	w.check.idles(n)
	w.sched.(faulty).restarted(n)
}

var _ faulty = (*ours)(nil)

// crashed: the links to the node fall silent, which their homes notice after a while.
func (o *ours) crashed(n *worker) {
	since := n.since
	o.w.after(gossipDown, func() {
		if n.down && n.since == since {
			o.known(n, mexec.Down)
		}
	})
	for _, l := range o.linksTo(n) {
		life := l.life
		o.w.after(cutAfter, func() {
			if l.up && l.life == life {
				o.cut(l)
			}
		})
	}
}

// restarted: a node that starts anew answers what comes on its old links by resetting them.
func (o *ours) restarted(n *worker) {
	o.slots[n.id] = newSlots(n)
	for _, l := range o.linksTo(n) {
		o.cut(l)
	}
	o.known(n, mexec.Up)
}

func (o *ours) joined(n *worker) { o.known(n, mexec.Up) }

func (o *ours) parted() {
	for _, n := range o.w.nodes {
		for _, l := range o.linksTo(n) {
			if o.w.apart(l.home, l.node) > 0 {
				o.cut(l)
			}
		}
	}
}

// linksTo are the links to a node that stand.
func (o *ours) linksTo(n *worker) []*link {
	var all []*link
	for _, h := range o.w.homes {
		if l := o.links[[2]int{h.node, n.id}]; l != nil && l.up {
			all = append(all, l)
		}
	}
	return all
}

// cut ends a link, as both sides do with one that is silent: the worker kills the home's jobs, the home runs them elsewhere.
func (o *ours) cut(l *link) {
	l.up = false
	h, n := o.homes[l.home], o.w.nodes[l.node]
	var lost []*job
	for _, j := range h.jobs {
		if int(j.placed) == n.id {
			lost = append(lost, j)
		}
	}
	slices.SortFunc(lost, func(a, b *job) int { return int(a.id) - int(b.id) })
	if !n.down {
		for _, j := range lost {
			if j.running && int(j.node) == n.id {
				o.w.stop(j, n)
				o.slots[n.id].Cancel(o.grant[j], o.now())
				delete(o.grant, j)
			}
		}
		o.slots[n.id].Gone(o.w.nodes[h.node].name, o.now())
		o.settle(n.id)
	}
	o.at(h).Down(n.name, o.now().Add(min(time.Second<<min(l.fails, 10), 30*time.Second)), "silent", o.now())
	l.fails++
	for _, j := range lost {
		j.hurt, j.placed = true, -1
		o.at(h).Ended(j.id, place.Renewal{}, o.now())
		o.at(h).Again(o.job(j), []mexec.NodeID{n.name}, o.now())
	}
	o.settle(h.node)
}

func newSlots(n *worker) *place.Slots {
	s := place.NewSlots(n.slots)
	s.Limit(n.slots, n.memory, epoch)
	return s
}
