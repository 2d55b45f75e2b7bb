package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mexec"
	"mexec/internal/ledger"
	"mexec/internal/local"
	"mexec/internal/place"
	"mexec/internal/pulse"
	"mexec/internal/wire"
)

// The feed of a build: what happens to its jobs, told to clients that watch it. The book says what (ledger/feed.go), under the placer's lock, where it
// only goes into a list; a goroutine of the watcher's own encodes and sends it.
//
// A watcher that reads too slowly is hung up on. To leave events out was refused: who counts by them would count wrong and never know. One who
// was hung up on knows, and what he is told first when he comes again is true.

const (
	// gather is how long events are collected before they are sent. Each sending wakes the reader up, on a CPU that the jobs could use, and nobody sees a
	// screen that is this late. Room is told at once. So is, nearly, what a build is told at its begin: it learns from that which commands are short.
	gather = 100 * time.Millisecond
	early  = 20 * time.Millisecond
	begin  = 2 * time.Second

	// survey is how often the nodes are told of.
	survey = time.Second

	// backlog bounds what waits for one watcher, in bytes of memory: some 10,000 events.
	backlog = 4 << 20

	// batch is about the longest reply that is made of several events.
	batch = 256 << 10

	// farewell is how long a watcher that has said that it is done waits for the ends of jobs that have ended already: the stub hears of them first.
	farewell = 250 * time.Millisecond
)

// watcher is one client that watches a build. The placer's lock guards it.
type watcher struct {
	build mexec.BuildID
	wish  place.Nodes
	uid   uint32
	began time.Time
	due   *time.Timer   // what waits is to be sent
	haste chan struct{} // at once

	hangUp func() // never waits

	pending []mexec.Event
	size    int  // of pending, about
	slow    bool // there was more than that
	parts   bool // it has said that it is done
	open    int  // jobs that it was told of and not the end of
	nodes   []mexec.Node
	room    int
	asked   time.Time // when the nodes were last looked at for it
}

// see reads a query `watch BUILD NODES`, where NODES may be missing.
func see(what string, uid uint32) (*watcher, error) {
	build, nodes, _ := strings.Cut(what, " ")
	if build == "" {
		return nil, errors.New("query watch: which build?")
	}
	wish, err := place.ParseNodes(nodes)
	return &watcher{build: mexec.BuildID(build), wish: wish, uid: uid, began: time.Now(), due: time.NewTimer(0), haste: make(chan struct{}, 1)}, err
}

// watch tells a client of a build until it has shut down its side, or either of both closes.
func (d *Daemon) watch(conn *local.Conn, uid uint32, what string) error {
	w, err := see(what, uid)
	if err != nil {
		return unanswered(conn, err)
	}
	w.hangUp = func() { conn.Close() }
	p := d.placer
	p.watch(w, d.peers.view())
	defer p.unwatch(w)
	ctx, cancel := context.WithCancel(d.ctx)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		defer cancel()
		conn.ReadFrame() // it has nothing to say: this is its end, or ours
	}()
	defer func() { conn.Close(); <-heard }()
	last := time.Time{}
	for {
		events, open, slow := p.news(w)
		if slow {
			return fmt.Errorf("watch %s: its reader is too slow", w.build)
		}
		if len(events) > 0 && conn.Write(replies(events)) != nil {
			if _, _, slow := p.news(w); !slow {
				return nil // it is gone
			}
			continue
		}
		switch {
		case d.ctx.Err() != nil:
			return nil
		case ctx.Err() == nil:
			select {
			case <-w.due.C:
			case <-w.haste:
			case <-ctx.Done():
			}
			continue
		case last.IsZero():
			last = time.Now().Add(farewell)
			p.part(w)
			continue
		}
		if open == 0 || !time.Now().Before(last) {
			return nil
		}
		select {
		case <-w.haste:
		case <-time.After(time.Until(last)):
		case <-d.ctx.Done():
		}
	}
}

// replies encodes events as frames of many each.
func replies(events []mexec.Event) (frames []byte) {
	var body []byte
	for i, e := range events {
		b, err := json.Marshal(e)
		if err != nil {
			continue // no event has what JSON has not
		}
		if body = append(body, ','); len(body) == 1 {
			body[0] = '['
		}
		if body = append(body, b...); len(body) >= batch || i == len(events)-1 {
			frames = wire.AppendText(frames, wire.Reply, string(append(body, ']')))
			body = nil
		}
	}
	return frames
}

// watch enters a watcher, and tells it what it finds: the cluster first.
func (p *placer) watch(w *watcher, nodes []mexec.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.book.Watch(w.build)
	p.watchers = append(p.watchers, w)
	p.stirLocked()
	p.clusterLocked(w, nodes, p.now())
	for _, c := range p.book.UnderWay(w.build) {
		w.hear(c)
	}
	w.size = 0 // it is bounded by the jobs that there are
}

func (p *placer) unwatch(w *watcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.book.Unwatch(w.build)
	p.watchers = slices.DeleteFunc(p.watchers, func(o *watcher) bool { return o == w })
	if len(p.watchers) == 0 {
		p.watchers = nil
	}
}

// news takes what waits for a watcher.
func (p *placer) news(w *watcher) (events []mexec.Event, open int, slow bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	events = w.pending
	w.pending, w.size = nil, 0
	w.due.Stop()
	return events, w.open, w.slow
}

// part has a watcher that is about to leave hear of everything at once.
func (p *placer) part(w *watcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.parts = true
}

// publishLocked hands the changes in the book to those that they are for.
func (p *placer) publishLocked() {
	for _, c := range p.book.Changes() {
		for _, w := range p.watchers {
			if w.build == c.Build {
				w.hear(c)
			}
		}
	}
}

// announce tells those who watch what has changed in the cluster: of their room at once, of its nodes once a second.
func (d *Daemon) announce() {
	p := d.placer
	p.mu.Lock()
	now, due := p.now(), false
	for _, w := range p.watchers {
		if now.Sub(w.asked) >= survey {
			due = true
		} else if room := p.roomLocked(w, now); room != w.room {
			w.room = room
			w.add(mexec.Event{Kind: mexec.Cluster, At: now, Room: room}, 0)
			w.hurry()
		}
	}
	p.mu.Unlock()
	if !due {
		return
	}
	nodes := d.peers.view() // it takes the lock itself
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.watchers {
		p.clusterLocked(w, nodes, p.now())
	}
}

func (p *placer) roomLocked(w *watcher, now time.Time) int {
	return p.home.Room(w.wish, w.uid, p.slots.Busy(), now)
}

// clusterLocked tells a watcher of the cluster, if it does not know all that already.
func (p *placer) clusterLocked(w *watcher, nodes []mexec.Node, now time.Time) {
	w.asked = now
	room := p.roomLocked(w, now)
	same := func(a, b mexec.Node) bool {
		a.Offset = b.Offset // which each beat changes
		return a == b
	}
	if room == w.room && slices.EqualFunc(nodes, w.nodes, same) {
		return
	}
	if room != w.room {
		w.hurry()
	}
	w.room, w.nodes = room, nodes
	w.add(mexec.Event{Kind: mexec.Cluster, At: now, Nodes: nodes, Room: room}, 256*len(nodes))
}

// hurry has what waits for a watcher sent at once.
func (w *watcher) hurry() {
	select {
	case w.haste <- struct{}{}:
	default:
	}
}

// hear takes a change, if it is one that this user may know of.
func (w *watcher) hear(c ledger.Change) {
	if w.uid != 0 && w.uid != c.UID {
		return
	}
	e := c.Event
	switch e.Kind {
	case mexec.Received:
		w.open++
	case mexec.Ended, mexec.Lost, mexec.Withdrawn:
		w.open--
	}
	w.add(e, len(e.Command)+len(e.Dir)+len(e.Why))
}

func (w *watcher) add(e mexec.Event, text int) {
	const event = 320 // bytes, about
	if w.slow {
		return
	}
	switch {
	case w.parts, w.size > batch:
		w.hurry()
	case len(w.pending) > 0: // it is being waited for
	case time.Since(w.began) < begin:
		w.due.Reset(early)
	default:
		w.due.Reset(pulse.Next(gather))
	}
	w.pending = append(w.pending, e)
	if w.size += event + text; w.size > backlog {
		w.pending, w.slow = nil, true
		w.hangUp()
	}
}
