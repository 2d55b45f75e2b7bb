package daemon

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"mexec"
	"mexec/internal/cluster"
	"mexec/internal/link"
	"mexec/internal/place"
	"mexec/internal/pulse"
	"mexec/internal/wire/mexecpb"
)

// peers is this node's view of the others: gossip says who there is, the links say how they are.
type peers struct {
	d    *Daemon
	self mexec.Node

	telling sync.Mutex // taken first: placement hears of changes in their order

	mu    sync.Mutex // guards the rest
	known map[mexec.NodeID]*peer
}

type peer struct {
	mexec.Node
	gossip string    // its gossip address
	alive  bool      // gossip thinks so
	life   time.Time // when its present life began
	seen   time.Time // when gossip last had it
	skewed bool
	linked bool
	drains bool
	reason string // why it takes less than it has slots
	fails  int    // links in a row that came to nothing
	until  time.Time
	cause  string
	told   mexec.Node // what placement was last told of it
}

// A link that could not be made is tried again after a second, then two, at most this.
const maxBackoff = 30 * time.Second

// keepDown is how long a node that is gone stays in the list.
const keepDown = time.Hour

var _ link.Home = (*peers)(nil)

func newPeers(d *Daemon, self mexec.Node) *peers {
	return &peers{d: d, self: self, known: map[mexec.NodeID]*peer{}}
}

// follow keeps the view until the daemon ends.
func (p *peers) follow() {
	t := pulse.Every(time.Second)
	defer t.Stop()
	for {
		p.refresh(p.d.cluster.Members())
		select {
		case <-p.d.cluster.Changed():
		case <-t.C:
			t.Again()
		case <-p.d.ctx.Done():
			return
		}
	}
}

// refresh enters who there is by the gossip, and tells placement of what has changed since it was last told. To tell it all would cost a large
// cluster's nodes tens of milliseconds each second, some of them under the lock that each command needs.
func (p *peers) refresh(members []cluster.Member) {
	now := p.d.now()
	var back []mexec.NodeID
	p.telling.Lock()
	defer p.telling.Unlock()
	p.mu.Lock()
	for _, k := range p.known {
		k.alive = false
	}
	for _, m := range members {
		if m.Self {
			continue
		}
		k := p.known[m.Name]
		if k == nil {
			k = &peer{}
			p.known[m.Name] = k
		}
		if m.Since.After(k.life) { // what was held against the old one is void
			if !k.until.IsZero() {
				back = append(back, m.Name)
			}
			k.life, k.until, k.fails = m.Since, time.Time{}, 0
		}
		k.alive, k.seen, k.gossip = true, now, m.Addr
		k.Number, k.Name, k.Addr = m.Number, m.Name, m.Facts.Link
		k.Version, k.Arch, k.Boot, k.Labels = m.Version, m.Arch, m.Boot, m.Labels
		if k.CPUs != m.CPUs {
			k.CPUs = m.CPUs
			p.d.costs.cpus(k.Name, k.CPUs)
		}
		if !k.linked {
			k.drains, k.reason = m.Draining, m.Facts.Why
			k.Slots, k.Memory, k.Free = m.Facts.Slots, m.Facts.Memory, -1 // what is left only its link tells
			if m.Age != cluster.Never {
				k.Slots, k.Busy, k.Load = m.Load.Slots, m.Load.Busy, m.Load.Load
			}
		}
	}
	known := len(p.known)
	maps.DeleteFunc(p.known, func(_ mexec.NodeID, k *peer) bool {
		gone := !k.alive && now.Sub(k.seen) > keepDown
		if gone && k.CPUs != 0 {
			p.d.costs.cpus(k.Name, 0)
		}
		return gone
	})
	var news, view []mexec.Node
	for _, k := range p.known {
		if row := p.row(k); row != k.told {
			k.told = row
			news = append(news, row)
		}
	}
	slices.SortFunc(news, byNumber)
	if len(p.known) != known {
		view = p.viewLocked()
	}
	p.mu.Unlock()
	for _, name := range back {
		p.d.placer.down(name, time.Time{}, "") // until now
	}
	if view != nil {
		p.d.placer.view(view) // which has no word of those that are forgotten
	} else if len(news) > 0 {
		p.d.placer.updates(news)
	}
}

func byNumber(a, b mexec.Node) int { return a.Number - b.Number }

// viewLocked is every node that is known, by number, and what gossip and clocks make of it. Of links that broke placement knows by itself
// and until when; told here, a node would stay down until the next view.
func (p *peers) viewLocked() []mexec.Node {
	view := []mexec.Node{p.self}
	for _, k := range p.known {
		view = append(view, p.row(k))
	}
	slices.SortFunc(view, byNumber)
	return view
}

func (p *peers) row(k *peer) mexec.Node {
	n := k.Node
	n.State, n.Why, n.Speed = mexec.Up, k.reason, p.d.costs.speed(k.Name)
	switch {
	case !k.alive:
		n.State, n.Why = mexec.Down, "gone from the gossip"
	case k.drains:
		n.State, n.Why = mexec.Draining, k.reason
	case k.skewed:
		n.State, n.Why = mexec.Skewed, fmt.Sprintf("its clock is %v off, at most %v", n.Offset.Round(time.Millisecond), p.d.maxSkew)
	}
	return n
}

// view is what people are told.
func (p *peers) view() []mexec.Node {
	load, now, trouble := p.d.sample(), p.d.now(), p.d.placer.trouble()
	p.mu.Lock()
	defer p.mu.Unlock()
	view := p.viewLocked()
	for i := range view {
		n := &view[i]
		if n.Name == p.self.Name {
			n.Slots, n.Busy, n.Load = load.Slots, load.Busy, load.Load
			n.Memory, n.Free = p.d.memory()
			if drain := p.d.drain.now(); drain.Draining {
				n.Why = drainWords(drain)
			} else {
				_, n.Why = p.d.placer.offered()
			}
		} else if k := p.known[n.Name]; k.alive && now.Before(k.until) {
			n.State, n.Why = mexec.Down, k.cause
		} else if n.State == mexec.Up && n.Why == "" {
			n.Why = trouble[n.Name]
		}
	}
	return view
}

func (p *peers) seeds() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	seeds := []string{p.d.cluster.Addr()}
	for _, k := range p.known {
		if k.alive {
			seeds = append(seeds, k.gossip)
		}
	}
	return seeds
}

func (p *peers) isUp(name mexec.NodeID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.known[name]
	return k != nil && k.alive || name == p.self.Name
}

// dialJoin connects to the link port of a node, for the renewal of a certificate.
func (p *peers) dialJoin(ctx context.Context, name mexec.NodeID) (net.Conn, error) {
	p.mu.Lock()
	k := p.known[name]
	p.mu.Unlock()
	if k == nil {
		return nil, fmt.Errorf("node %s is not known", name)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", k.Addr)
}

// What the links tell.

func (p *peers) LinkUp(node mexec.NodeID, offset time.Duration) {
	p.change(node, func(k *peer) {
		k.linked, k.fails, k.until = true, 0, time.Time{}
		p.clock(k, offset)
	})
	p.d.placer.linked(node)
}

func (p *peers) Beat(node mexec.NodeID, offset time.Duration, load *mexecpb.Load) {
	p.change(node, func(k *peer) {
		p.clock(k, offset)
		if load != nil {
			k.Slots, k.Busy, k.Load = link.Count(load.Slots), link.Count(load.Busy), float64(load.LoadMilli)/1000
			k.Memory, k.Free = link.Bytes(load.Memory), link.Bytes(load.MemoryFree)
			k.drains, k.reason = load.Draining, load.Why
		}
	})
}

// clock judges the clock of a node. Once too far off, it must come well within the limit to be trusted again.
func (p *peers) clock(k *peer, offset time.Duration) {
	k.Offset = offset
	limit := p.d.maxSkew
	if k.skewed {
		limit = limit * 3 / 4
	}
	if skewed := offset.Abs() > limit; skewed != k.skewed {
		k.skewed = skewed
		p.d.log.Warn(fmt.Sprintf("node %s: its clock is %v from ours: jobs for it: %v", k.Name, offset.Round(time.Millisecond), !skewed))
	}
}

func (p *peers) Granted(node mexec.NodeID, offer place.Offer) {
	p.d.placer.grantedBy(node, offer)
}

func (p *peers) Recalled(node mexec.NodeID, ids []place.Grant) { p.d.placer.recalledBy(node, ids) }

func (p *peers) LinkDown(node mexec.NodeID, cause error) {
	until, why := time.Time{}, ""
	p.change(node, func(k *peer) {
		k.linked = false
		if cause == nil {
			return
		}
		k.until = p.d.now().Add(min(time.Second<<min(k.fails, 10), maxBackoff))
		k.fails++
		k.cause = cause.Error()
		until, why = k.until, k.cause
		p.d.log.Warn(fmt.Sprintf("link to %s: %s", node, why))
	})
	p.d.placer.down(node, until, why)
}

// change changes what is known of a node, and tells placement.
func (p *peers) change(node mexec.NodeID, f func(*peer)) {
	p.telling.Lock()
	defer p.telling.Unlock()
	p.mu.Lock()
	k := p.known[node]
	if k == nil {
		p.mu.Unlock()
		return
	}
	f(k)
	row := p.row(k)
	k.told = row
	p.mu.Unlock()
	p.d.placer.updates([]mexec.Node{row})
}
