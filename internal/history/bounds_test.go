package history

import (
	"fmt"
	"math"
	"testing"
	"time"

	"mexec"
)

// A daemon that keeps nothing, as mpmake's own or one that can't read its file, remembered each command that it ever forgot as one that was to be written.
func TestWhereNobodyKeepsWhatIsKnownNothingGrows(t *testing.T) {
	c := NewCosts("n1")
	c.kinds.most, c.commands.most = 10, 100
	for i := range 10_000 {
		c.runs(key(uint64(i), fmt.Sprint(i)), 1, Run{Node: mexec.NodeID(fmt.Sprint("n", i)), Wall: sec, CPU: sec})
	}
	for _, tab := range []table{c.kinds, c.commands} {
		if len(tab.changed) > 2*tab.most || len(tab.gone) > tab.most || len(tab.entries) > tab.most {
			t.Errorf("of %d that are known %d are to be written, and %d were forgotten", len(tab.entries), len(tab.changed), len(tab.gone))
		}
	}
	if changed, gone := c.Take(); len(changed) != 110 || len(gone) != 0 {
		t.Errorf("%d rows, and %d that nobody has", len(changed), len(gone))
	}
}

// A command that the kernel killed for want of memory again and again was taken for one that needs less than nothing.
func TestHoweverOftenMemoryWasNotEnoughItIsANumber(t *testing.T) {
	c := NewCosts("n1")
	k := key(1, "link")
	for i := range 1000 {
		before := c.Of(k).Memory
		c.runs(k, 1, Run{Memory: gib, Failed: true, OutOfMemory: true})
		if now := c.Of(k).Memory; now < before || now < gib {
			t.Fatalf("%d after %d kills, %d before", now, i+1, before)
		}
	}
	sound(t, c)
}

// Other nodes say what commands took there.
func TestWhateverANodeSaysIsKeptAsACost(t *testing.T) {
	all := []int64{0, 1, -1, math.MaxInt64, math.MinInt64, 1 << 53, -1 << 53}
	for _, a := range all {
		for _, b := range all {
			c := NewCosts("n1")
			for i := range 20 {
				c.runs(key(1, "cc"), 1, Run{Node: mexec.NodeID(fmt.Sprint("n", i%3)), CPU: time.Duration(a), Wall: time.Duration(b), Memory: a, Output: b, OutOfMemory: i%5 == 0})
				cost := c.Of(key(1, "cc"))
				if cost.CPU < 0 || cost.Wall < 0 || cost.Memory < 0 || cost.Output < 0 {
					t.Fatalf("%d, %d: %+v", a, b, cost)
				}
			}
			sound(t, c)
			for _, n := range []mexec.NodeID{"n1", "n2"} {
				if s := c.Speed(n); !(s >= 0 && s < 1e6) {
					t.Fatalf("%d, %d: %s is of speed %v", a, b, n, s)
				}
			}
		}
	}
}

// A cluster whose nodes are made anew each time, under new names.
func TestNodesThatNeverComeBackAreForgotten(t *testing.T) {
	c := NewCosts("n1")
	for i := range mostNodes + 1000 {
		c.runs(key(1, "cc"), 1, Run{Node: "n1", Wall: sec, CPU: sec})
		for range enough {
			c.runs(key(1, "cc"), 1, Run{Node: "n2", Wall: 2 * sec, CPU: 2 * sec})
			c.runs(key(1, "cc"), 1, Run{Node: mexec.NodeID(fmt.Sprint("new", i)), Wall: sec, CPU: sec})
		}
	}
	if n := len(c.speeds.nodes); n > mostNodes || math.Abs(c.Speed("n2")-0.5) > 0.001 {
		t.Errorf("%d nodes, n2 is of speed %v", n, c.Speed("n2"))
	}
}

// sound checks that all that is known will be believed by who reads it.
func sound(t *testing.T, c *Costs) {
	t.Helper()
	changed, _ := c.Take()
	for _, r := range changed {
		if !r.sound() {
			t.Errorf("%+v", r)
		}
	}
}
