package simtest

import (
	"math/rand/v2"
	"time"
)

// Network says how long a message is on its way: Base and an exponential jitter, cut at Most.
type Network struct {
	Base, Jitter, Most time.Duration
	Dial               time.Duration // what making a link takes beside its round trips: keys, goroutines
}

// LAN is a switched network with daemons that have other things to do as well.
var LAN = Network{Base: 100 * time.Microsecond, Jitter: 100 * time.Microsecond, Most: time.Millisecond, Dial: 2 * time.Millisecond}

func (n Network) delay(r *rand.Rand) time.Duration {
	return min(n.Most, n.Base+time.Duration(r.ExpFloat64()*float64(n.Jitter)))
}

// link is an ordered connection between a home and a worker. One that broke and was made again is another life of it: what was on the way
// in the old one is gone.
type link struct {
	home, node int
	up         bool
	dialling   bool
	life       int
	last       [2]time.Duration // arrival of the last message to the worker, to the home
	note       [2]time.Duration // when the last note left: what is noted at one moment goes as one message
	fails      int
}

const (
	toWorker = 0
	toHome   = 1
)

// cutAfter is how long a link may be silent before both its ends give it up, as the daemons' keep-alive does.
const cutAfter = 3 * time.Second

// post sends on a link that is up: in order, later where the two sides can't reach each other now, and not at all where the link has
// broken by then.
func (w *world) post(l *link, way int, note bool, do func()) {
	if !note || l.note[way] != w.now {
		w.messages++
	}
	if note {
		l.note[way] = w.now
	}
	at := w.now + w.shape.Net.delay(w.rnd)
	if until := w.apart(l.home, l.node); until > 0 {
		at = until + w.shape.Net.delay(w.rnd)
	}
	at = max(at, l.last[way])
	l.last[way] = at
	life := l.life
	w.at(at, func() {
		if l.up && l.life == life && (way == toHome || !w.nodes[l.node].down) {
			do()
		}
	})
}

// send sends one message outside of links, for the schedulers that need no order. To oneself it takes no time.
func (w *world) send(from, to int, do func()) {
	if from == to {
		do()
		return
	}
	w.messages++
	w.after(w.shape.Net.delay(w.rnd), do)
}

// apart is until when two nodes can't reach each other; 0: they can.
func (w *world) apart(a, b int) time.Duration {
	if w.split == nil || w.now >= w.splitUntil || w.split(a) == w.split(b) {
		return 0
	}
	return w.splitUntil
}
