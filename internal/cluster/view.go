package cluster

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"mexec"
)

// Member is one node as this node sees it.
type Member struct {
	Facts
	Load
	Age   time.Duration // of Load; Never where none has been heard
	Since time.Time     // when this node first saw this life of the member, by this node's clock
	Addr  string        // host:port of its gossip: a good seed for the next start
	Self  bool
}

// Never is the Age of a load that nobody has told yet.
const Never time.Duration = math.MaxInt64

// peer is one live member of the gossip. Two peers may have one node name: a daemon that was restarted, and its former
// life that nobody has missed yet.
type peer struct {
	node  memberlist.Node // a copy: memberlist changes its own
	facts Facts
	life  life
	since time.Time
}

func (p peer) source() source { return source{uint32(p.facts.Number), p.life} }

// lostPeer is where somebody was when gossip gave up on it.
type lostPeer struct {
	addr string
	when time.Time
}

const (
	lostKept = 7 * 24 * time.Hour // after that, only the seeds can bring it back
	lostMost = 1024
)

// view is what a node knows about the others: pure, time is an argument. It is not for use by several goroutines at once.
type view struct {
	self   peer
	live   map[string]peer // by memberlist's name, self not among them
	order  []peer          // of these, what others tells; nil: to be found out
	lost   map[mexec.NodeID]lostPeer
	window window
	said   map[string]bool // complaints that have been made once
}

func newView(self peer) *view {
	return &view{
		self:   self,
		live:   make(map[string]peer),
		lost:   make(map[mexec.NodeID]lostPeer),
		window: newWindow(self.source()),
		said:   make(map[string]bool),
	}
}

// readPeer makes a peer of what memberlist tells.
func readPeer(now time.Time, n *memberlist.Node) (peer, error) {
	name, l, err := parseMemberName(n.Name)
	if err != nil {
		return peer{}, err
	}
	f, err := decodeFacts(n.Meta)
	if err != nil {
		return peer{}, err
	}
	if f.Name != name {
		return peer{}, fmt.Errorf("member %q says that its name is %q", n.Name, f.Name)
	}
	return peer{node: *n, facts: f, life: l, since: now}, nil
}

// joined enters a peer and returns what a person ought to know about it, each once.
func (v *view) joined(p peer) (complaints []string) {
	if p.node.Name == v.self.node.Name {
		v.self.node = p.node
		return nil
	}
	if old, ok := v.live[p.node.Name]; ok {
		p.since = old.since
	}
	v.live[p.node.Name], v.order = p, nil
	delete(v.lost, p.facts.Name)
	if p.facts.Name == v.self.facts.Name && p.life > v.self.life {
		complaints = v.once(complaints, fmt.Sprintf("another daemon, at %s, has started with the name of this one, %q: the others will talk to that one", p.facts.Link, p.facts.Name))
	}
	complaints = v.clash(complaints, p, v.self)
	for _, q := range v.live {
		complaints = v.clash(complaints, p, q)
	}
	return complaints
}

func (v *view) clash(complaints []string, p, q peer) []string {
	if p.facts.Number != q.facts.Number || p.facts.Name == q.facts.Name {
		return complaints
	}
	a, b := min(p.facts.Name, q.facts.Name), max(p.facts.Name, q.facts.Name)
	return v.once(complaints, fmt.Sprintf("nodes %s and %s both claim number %d: until one of them gets another, it names both", a, b, p.facts.Number))
}

func (v *view) once(complaints []string, c string) []string {
	if v.said[c] {
		return complaints
	}
	v.said[c] = true
	return append(complaints, c)
}

// left takes a peer out and keeps its address: memberlist never looks for it again, so somebody has to.
// One that said goodbye is kept as well, for memberlist does not tell which; it costs a refused connection now and then.
func (v *view) left(now time.Time, name string) {
	p, ok := v.live[name]
	if !ok {
		return
	}
	delete(v.live, name)
	v.order = nil
	delete(v.window.known, p.source())
	if p.facts.Name == v.self.facts.Name {
		return
	}
	for _, q := range v.live {
		if q.facts.Name == p.facts.Name {
			return
		}
	}
	v.lost[p.facts.Name] = lostPeer{p.node.Address(), now}
	if len(v.lost) > lostMost {
		oldest := p.facts.Name
		for n, l := range v.lost {
			if l.when.Before(v.lost[oldest].when) {
				oldest = n
			}
		}
		delete(v.lost, oldest)
	}
}

// others are the live peers of other names, the newest life of each, in order of their numbers. Not to be changed: they are put in order only when one
// comes or goes.
func (v *view) others() []peer {
	if v.order != nil {
		return v.order
	}
	newest := make(map[mexec.NodeID]peer, len(v.live))
	for _, p := range v.live {
		if q, ok := newest[p.facts.Name]; p.facts.Name != v.self.facts.Name && (!ok || p.life > q.life) {
			newest[p.facts.Name] = p
		}
	}
	all := make([]peer, 0, len(newest)+1)
	for _, p := range newest {
		all = append(all, p)
	}
	slices.SortFunc(all, byNumber)
	v.order = all
	return all
}

func byNumber(a, b peer) int {
	return cmp.Or(cmp.Compare(a.facts.Number, b.facts.Number), cmp.Compare(a.facts.Name, b.facts.Name))
}

func (v *view) members(now time.Time) []Member {
	peers := v.others()
	at, _ := slices.BinarySearchFunc(peers, v.self, byNumber)
	all := make([]Member, len(peers)+1)
	for i := range all {
		p := &v.self
		switch {
		case i < at:
			p = &peers[i]
		case i > at:
			p = &peers[i-1]
		}
		m := Member{Facts: p.facts, Age: Never, Since: p.since, Addr: p.node.Address(), Self: p.life == v.self.life && p.facts.Name == v.self.facts.Name}
		if r, ok := v.window.known[p.source()]; ok {
			m.Load, m.Age = r.load, max(now.Sub(r.taken), 0)
		}
		all[i] = m
	}
	return all
}

// strangers are the addresses of those that were members once and are not now.
func (v *view) strangers(now time.Time) []string {
	var all []string
	for n, l := range v.lost {
		if now.Sub(l.when) > lostKept {
			delete(v.lost, n)
			continue
		}
		all = append(all, l.addr)
	}
	slices.Sort(all)
	return all
}

// knows says whether the address is that of a live member, this one included.
func (v *view) knows(addr string) bool {
	if addr == v.self.node.Address() {
		return true
	}
	for _, p := range v.live {
		if p.node.Address() == addr {
			return true
		}
	}
	return false
}
