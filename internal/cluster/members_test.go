package cluster

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"mexec"
)

func numbered(n int) peer {
	name := fmt.Sprint("n", n)
	return peer{
		node:  memberlist.Node{Name: name, Addr: net.IP{10, 0, byte(n >> 8), byte(n)}, Port: 7733},
		facts: Facts{Name: mexec.NodeID(name), Number: n}, life: 1,
	}
}

func TestMembersAreInOrderWhoeverComesAndGoes(t *testing.T) {
	v := newView(numbered(3))
	numbers := func() (all []int) {
		for _, m := range v.members(time.Now()) {
			if m.Self != (m.Number == 3) {
				t.Errorf("node %d is self: %v", m.Number, m.Self)
			}
			all = append(all, m.Number)
		}
		return all
	}
	is := func(want ...int) {
		t.Helper()
		for range 2 {
			if got := numbers(); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("members %v, not %v", got, want)
			}
		}
	}
	is(3)
	v.joined(numbered(5))
	is(3, 5)
	v.joined(numbered(2))
	is(2, 3, 5)
	again := numbered(5)
	again.node.Name, again.life = "n5 anew", 2
	v.joined(again)
	is(2, 3, 5)
	v.left(time.Now(), "n5")
	is(2, 3, 5)
	v.left(time.Now(), "n5 anew")
	is(2, 3)
	v.left(time.Now(), "n2")
	is(3)
}

func BenchmarkMembers(b *testing.B) {
	v := newView(numbered(1))
	for i := range 10_000 {
		p := numbered(i + 2)
		v.live[p.node.Name] = p
	}
	b.ReportAllocs()
	for b.Loop() {
		v.members(time.Now())
	}
}
