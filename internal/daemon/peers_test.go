package daemon

import (
	"fmt"
	"math"
	"testing"
	"time"

	"mexec"
	"mexec/internal/cluster"
	"mexec/internal/place"
	"mexec/internal/wire/mexecpb"
)

// gossiped returns the peers of a daemon that hears of so many others, and what it hears.
func gossiped(n int) (*peers, []cluster.Member) {
	self := mexec.Node{Number: 1, Name: "n1", Slots: 8, State: mexec.Self}
	now := time.Unix(1_000_000, 0)
	d := &Daemon{now: func() time.Time { return now }, maxSkew: time.Second}
	d.placer = newPlacer(self, d.now)
	d.costs = newCosts("n1", d.placer)
	members := make([]cluster.Member, n)
	for i := range members {
		m := &members[i]
		m.Name, m.Number = mexec.NodeID(fmt.Sprint("n", i+2)), i+2
		m.Addr, m.Facts.Link = fmt.Sprint("10.0.0.1:", i), fmt.Sprint("10.0.0.1:", 10_000+i)
		m.Facts.Slots, m.Facts.Memory, m.Load.Slots, m.Since = 8, 16<<30, 8, now // of which nobody knows what is left
	}
	return newPeers(d, self), members
}

func TestPlacementHearsOfWhatChangedAndOfWhoIsForgotten(t *testing.T) {
	p, members := gossiped(3)
	room := func() int { return p.d.placer.home.Room(place.Nodes{}, 0, 0, p.d.now()) }
	p.refresh(members)
	if got := room(); got != 32 {
		t.Fatalf("room for %d jobs", got)
	}
	members[1].Load.Busy, members[1].Age = 5, 0
	p.refresh(members)
	if got := room(); got != 27 {
		t.Errorf("room for %d jobs when 5 run elsewhere", got)
	}
	p.refresh(members)
	p.refresh(members[1:])
	if got := room(); got != 19 {
		t.Errorf("room for %d jobs when a node is gone", got)
	}
	late := p.d.now().Add(2 * keepDown)
	p.d.now = func() time.Time { return late }
	p.refresh(members[1:])
	if _, ok := p.known["n2"]; ok {
		t.Error("a node that has long been gone is still known")
	}
	p.refresh(members)
	if got := room(); got != 27 {
		t.Errorf("room for %d jobs when it is back", got)
	}
}

// The view of a large cluster is refreshed each second, of which some nodes have changed.
func BenchmarkRefresh(b *testing.B) {
	for _, nodes := range []int{100, 10_000} {
		b.Run(fmt.Sprint("nodes=", nodes), func(b *testing.B) {
			p, members := gossiped(nodes)
			p.refresh(members)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for k := range nodes / 100 {
					members[(i+k*97)%nodes].Load.Busy = i % 8
				}
				p.refresh(members)
			}
		})
	}
}

// A node that said it had memory beyond all numbers took the room of all others, and a build went on with one command at a time.
func TestWhateverANodeSaysOfItselfTheOthersHaveTheirRoom(t *testing.T) {
	p, members := gossiped(2)
	p.refresh(members)
	for _, load := range []*mexecpb.Load{
		{Slots: math.MaxUint32, Busy: 1, Memory: math.MaxUint64, MemoryFree: math.MaxUint64},
		{Slots: 8, Busy: 1, Memory: 1 << 30, MemoryFree: 1 << 63},
		{Slots: 8, Busy: math.MaxUint32, Memory: math.MaxUint64, MemoryFree: 0, LoadMilli: math.MaxUint32},
		{},
	} {
		p.Beat("n2", 0, load)
		n := p.known["n2"]
		if room := p.d.placer.home.Room(place.Nodes{}, 0, 0, p.d.now()); room < 16 || n.Slots < 0 || n.Busy < 0 || n.Memory < 0 || n.Free < 0 {
			t.Errorf("%v: room for %d; %+v", load, room, n.Node)
		}
	}
}

// What is left of a node's memory only its link tells. One that ran a single command was taken for full until there was a link, and listed so.
func TestOfANodeWithoutALinkTheSlotsCount(t *testing.T) {
	p, members := gossiped(1)
	members[0].Facts.Memory, members[0].Load.Busy, members[0].Age = 8<<30, 2, 0
	p.refresh(members)
	if room := p.d.placer.home.Room(place.Nodes{}, 0, 0, p.d.now()); room != 14 {
		t.Errorf("room for %d commands where 6 of 8 slots are free elsewhere", room)
	}
	if n := p.known["n2"]; n.Free != -1 {
		t.Errorf("%d bytes left", n.Free)
	}
	p.LinkUp("n2", 0)
	p.Beat("n2", 0, &mexecpb.Load{Slots: 8, Busy: 2, Memory: 8 << 30, MemoryFree: 1 << 30})
	p.refresh(members)
	if n := p.known["n2"]; n.Free != 1<<30 {
		t.Errorf("%d bytes left by its own word", n.Free)
	}
}

// A cluster whose nodes are made anew each time, under new names.
func TestOfNodesThatNeverComeBackNothingIsLeft(t *testing.T) {
	p, members := gossiped(1)
	now := p.d.now()
	p.d.now = func() time.Time { return now }
	for i := range 100 {
		m := &members[0]
		m.Name, m.Number, m.CPUs, m.Since = mexec.NodeID(fmt.Sprint("new", i)), i+2, 0.5, now
		p.refresh(members)
		if s := p.d.costs.speed(m.Name); s != 0.5 {
			t.Fatalf("%s is of speed %v", m.Name, s)
		}
		now = now.Add(keepDown + time.Second)
	}
	p.refresh(nil)
	if len(p.known)+len(p.d.placer.addrs) != 1 || p.d.costs.speed("new1") != 0 {
		t.Errorf("%d known, %d addresses, the second is of speed %v", len(p.known), len(p.d.placer.addrs), p.d.costs.speed("new1"))
	}
}
