package history

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mexec"
)

const (
	gib = 1 << 30
	sec = time.Second
)

var day = time.Unix(1_700_000_000, 0)

func key(kind uint64, text string) Key { return KeyOf(1000, kind, []byte("/src/a"), []byte(text)) }

// runs tells of n runs that were alike.
func (c *Costs) runs(k Key, n int, r Run) {
	for range n {
		c.Ran(k, "cc", r, day)
	}
}

func TestACommandIsKnownByItselfAndAnUnseenOneByItsKind(t *testing.T) {
	c := NewCosts("n1")
	if got := c.Of(key(1, "a.c")); got != (mexec.Cost{}) {
		t.Errorf("of nothing: %+v", got)
	}
	c.runs(key(1, "a.c"), 3, Run{CPU: sec, Wall: 2 * sec, Memory: 100 << 20, Output: 10})
	c.runs(key(1, "b.c"), 3, Run{CPU: 3 * sec, Wall: 4 * sec, Memory: 300 << 20, Output: 30})
	a, b, other := c.Of(key(1, "a.c")), c.Of(key(1, "b.c")), c.Of(key(1, "c.c"))
	if a.CPU != sec || a.Wall != 2*sec || a.Output != 10 || a.Runs != 3 || b.CPU != 3*sec || b.Runs != 3 {
		t.Errorf("a: %+v, b: %+v", a, b)
	}
	if other.CPU < a.CPU || other.CPU > b.CPU || other.Runs != 6 || other.Memory < b.Memory {
		t.Errorf("one of their kind: %+v", other)
	}
	for _, k := range []Key{
		KeyOf(1000, 2, []byte("/src/a"), []byte("a.c")), KeyOf(1001, 1, []byte("/src/a"), []byte("a.c")), KeyOf(1000, 0, []byte("/src/a"), []byte("a.c")),
	} {
		if got := c.Of(k); got != (mexec.Cost{}) {
			t.Errorf("another kind, another user, no kind: %+v", got)
		}
	}
	if c.Of(KeyOf(1000, 1, []byte("/other/a"), []byte("a.c"))) != a || c.Of(KeyOf(1000, 1, []byte("/src/b"), []byte("a.c"))) != other {
		t.Error("a directory counts by its last name")
	}
}

func TestWhatIsReservedIsMoreThanWhatWasSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewCosts("n1")
		k := key(1, "link")
		last := int64(0)
		for range rapid.IntRange(1, 50).Draw(t, "runs") {
			last = rapid.Int64Range(1, 8*gib).Draw(t, "memory")
			c.runs(k, 1, Run{Memory: last})
		}
		if got := c.Of(k).Memory; got < last {
			t.Fatalf("%d is reserved, the last one took %d", got, last)
		}
	})
}

func TestAPeakIsForgottenSlowlyAndACommandsBeforeAKinds(t *testing.T) {
	c := NewCosts("n1")
	k := key(1, "link")
	c.runs(k, 1, Run{Memory: gib})
	c.runs(k, 4, Run{Memory: gib / 8})
	if got := c.Of(k).Memory; got < gib/2 {
		t.Errorf("after 4 runs %d is left", got)
	}
	c.runs(k, 60, Run{Memory: gib / 8})
	if got := c.Of(k).Memory; got > gib/4 {
		t.Errorf("after 64 runs %d is left", got)
	}
	if got := c.Of(key(1, "other")).Memory; got < gib/3 {
		t.Errorf("of the kind %d is left", got)
	}
}

func TestTheMarginIsSmallWhereRunsAreAlike(t *testing.T) {
	c := NewCosts("n1")
	c.runs(key(1, "link"), 5, Run{Memory: gib})
	if got := c.Of(key(1, "link")).Memory; got > gib+gib/20 {
		t.Errorf("%d MiB for 1 GiB", got>>20)
	}
	for i := range 20 {
		c.runs(key(1, "link"), 1, Run{Memory: gib - int64(i%2)<<26})
	}
	if got := c.Of(key(1, "link")).Memory; got < gib+gib/20 || got > gib+gib/5 {
		t.Errorf("%d MiB where they are 64 MiB apart", got>>20)
	}
}

func TestWhatWasNotEnoughIsMoreTheNextTime(t *testing.T) {
	c := NewCosts("n1")
	k := key(1, "link")
	before := c.Of(k).Memory
	for range 5 {
		c.runs(k, 1, Run{Memory: gib, Failed: true, OutOfMemory: true})
		now := c.Of(k).Memory
		if now < before*3/2-2*margin || now < gib*3/2 {
			t.Fatalf("%d after %d", now, before)
		}
		before = now
	}
}

func TestOneThatFailedSaysWhatItTakesAtLeast(t *testing.T) {
	c := NewCosts("n1")
	k := key(1, "a.c")
	c.runs(k, 1, Run{CPU: sec, Wall: sec, Memory: 1 << 20, Failed: true})
	c.runs(k, 8, Run{CPU: 9 * sec, Wall: 9 * sec, Memory: 9 << 20})
	was := c.Of(k)
	if was.Wall < 5*sec {
		t.Errorf("%+v", was)
	}
	c.runs(k, 8, Run{CPU: sec, Wall: sec, Memory: 1 << 20, Failed: true})
	if now := c.Of(k); now != was {
		t.Errorf("%+v, was %+v", now, was)
	}
}

// Three nodes of speeds 1, 2 and a quarter, which run the same commands in turn, with noise and now and then a command that has become another.
func TestSpeedsAreLearnedFromTheSameCommandsOnSeveralNodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewCosts("n1")
		truth := map[mexec.NodeID]float64{"n1": 1, "n2": 2, "n3": 0.25}
		nodes := []mexec.NodeID{"n1", "n2", "n3"}
		some := rapid.Uint64().Draw(t, "some")
		random := func() float64 { some = mixed(some + 1); return float64(some>>11) / (1 << 53) }
		if c.Speed("n1") != 1 || c.Speed("n2") != 0 {
			t.Fatalf("%v %v", c.Speed("n1"), c.Speed("n2"))
		}
		work := map[int]float64{}
		for range 3000 {
			i, n := int(random()*40), nodes[int(random()*3)]
			if work[i] == 0 || random() < 0.05 {
				work[i] = 0.1 + 3*random()
			}
			wall := time.Duration(work[i] / truth[n] * (0.9 + 0.2*random()) * float64(time.Second))
			c.Ran(key(1, fmt.Sprint(i)), "cc", Run{Node: n, Wall: wall, CPU: wall}, day)
		}
		for n, want := range truth {
			if got := c.Speed(n); got < want*0.85 || got > want*1.18 {
				t.Fatalf("%s: %v, is %v", n, got, want)
			}
		}
	})
}

// A node of a twentieth of a CPU beside some of a fifth was taken for as fast as they are, in the first build and in all that followed: no command was busy there.
func TestAQuotaOfLessThanACPUIsASpeedUntilOneIsLearned(t *testing.T) {
	c := NewCosts("n1")
	c.CPUs("n1", 0.2)
	c.CPUs("n2", 0.05)
	c.CPUs("n3", 4)
	if two, three, four := c.Speed("n2"), c.Speed("n3"), c.Speed("n4"); two != 0.25 || three != 5 || four != 5 {
		t.Errorf("%v, %v, %v", two, three, four)
	}
	for i := range 100 {
		n := []mexec.NodeID{"n1", "n2"}[i%2]
		c.runs(key(1, "cc"), 1, Run{Node: n, Wall: time.Duration(5+5*(i%2)) * sec, CPU: sec / 2})
	}
	if got := c.Speed("n2"); got < 0.45 || got > 0.55 {
		t.Errorf("where it takes twice as long: %v", got)
	}
	c.CPUs("n1", 2)
	c.CPUs("n5", 1)
	if got := c.Speed("n5"); got != 0 {
		t.Errorf("a whole CPU each: %v", got)
	}
}

func TestWaitingSaysNothingOfSpeed(t *testing.T) {
	c := NewCosts("n1")
	for i := range 100 {
		c.runs(key(1, "sleep"), 1, Run{Node: []mexec.NodeID{"n1", "n2"}[i%2], Wall: time.Duration(1+i%2) * sec, CPU: sec / 10})
	}
	if got := c.Speed("n2"); got != 0 {
		t.Errorf("%v", got)
	}
}

// Whatever was told and kept in whatever steps, who reads the rows knows what the writer knew.
func TestRowsSayAllThatIsKnown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewCosts("n1")
		c.kinds.most, c.commands.most = 3, 5
		kept := map[uint64]Row{}
		for i := range rapid.IntRange(0, 60).Draw(t, "runs") {
			k := key(rapid.Uint64Range(1, 5).Draw(t, "kind"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "file"))
			c.Ran(k, "cc", Run{CPU: sec, Wall: time.Duration(i) * sec, Memory: int64(i) << 20}, day.Add(time.Duration(i)*sec))
			if rapid.Bool().Draw(t, "taken") {
				take(t, c, kept)
			}
		}
		take(t, c, kept)
		if len(kept) != len(c.kinds.entries)+len(c.commands.entries) || len(c.kinds.entries) > 3 || len(c.commands.entries) > 5 {
			t.Fatalf("%d rows, %d kinds, %d commands", len(kept), len(c.kinds.entries), len(c.commands.entries))
		}
		var rows []Row
		for _, r := range kept {
			rows = append(rows, r)
		}
		again := NewCosts("n1")
		again.Restore(rows)
		for kind := range uint64(6) {
			for _, file := range []string{"a", "b", "c", "d"} {
				if k := key(kind, file); again.Of(k) != c.Of(k) {
					t.Fatalf("%+v, was %+v", again.Of(k), c.Of(k))
				}
			}
		}
	})
}

func take(t *rapid.T, c *Costs, kept map[uint64]Row) {
	changed, gone := c.Take()
	for _, key := range gone {
		delete(kept, key)
	}
	for _, r := range changed {
		kept[r.Key] = r
	}
	if changed, gone := c.Take(); len(changed)+len(gone) != 0 {
		t.Fatalf("told twice: %v, %v", changed, gone)
	}
}

func TestRowsOfAnybodyElseAreLeftOut(t *testing.T) {
	good := Row{Key: 1, Runs: 1, CPU: 1}
	bad := []Row{{Runs: 1}, {Key: 2}, {Key: 3, Runs: 1, Wall: math.NaN()}, {Key: 4, Runs: 1, Memory: -1}, {Key: 5, Runs: 1, Output: math.Inf(1)}}
	c := NewCosts("n1")
	c.Restore(slices.Concat(bad, []Row{good, good}))
	if len(c.kinds.entries) != 1 || c.kinds.entries[1] == nil {
		t.Errorf("%v", c.kinds.entries)
	}
}

// What is least heard of goes first, and a look counts as hearing of it.
func TestWhatIsAskedForIsKept(t *testing.T) {
	c := NewCosts("n1")
	c.commands.most = 2
	a, b, d := key(1, "a"), key(1, "b"), key(1, "d")
	c.runs(a, 1, Run{Wall: 1 * sec})
	c.runs(b, 1, Run{Wall: 2 * sec})
	c.Of(a)
	c.runs(d, 1, Run{Wall: 3 * sec})
	if c.Of(a).Wall != sec || c.commands.entries[b.Command] != nil {
		t.Errorf("%+v", c.commands.entries)
	}
}

func TestALookUpAllocatesNothing(t *testing.T) {
	c := NewCosts("n1")
	argv := []byte("sh\x00-c\x00cc -O2 -c builtin/add.c -o builtin/add.o\x00")
	dir := []byte("/src/git")
	c.Ran(KeyOf(1, 2, dir, argv), "sh", Run{Wall: sec}, day)
	got := mexec.Cost{}
	if n := testing.AllocsPerRun(100, func() { got = c.Of(KeyOf(1, 2, dir, argv)) }); n != 0 || reflect.ValueOf(got).IsZero() {
		t.Errorf("%v allocations, %+v", n, got)
	}
}

func BenchmarkLookUp(b *testing.B) {
	c := NewCosts("n1")
	var all [][]byte
	for i := range mostCommands {
		argv := fmt.Appendf(nil, "sh\x00-c\x00cc -g -O2 -Wall -I. -DSHA1_HEADER='\"block-sha1/sha1.h\"' -o builtin/add%d.o -c -MF builtin/.depend/add.o.d -MQ builtin/add.o -MMD -MP "+
			"-Werror -Wdeclaration-after-statement -Wformat-security -Wold-style-definition -Woverflow -Wpointer-arith -Wstrict-prototypes -Wunused -Wvla -fno-common builtin/add%d.c\x00", i, i)
		all = append(all, argv)
		c.Ran(KeyOf(1, uint64(i%1000+1), []byte("/src/git"), argv), "sh", Run{Wall: sec}, day)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i += 7919
		c.Of(KeyOf(1, uint64(i%mostCommands%1000+1), []byte("/src/git"), all[i%mostCommands]))
	}
}

func BenchmarkRan(b *testing.B) {
	c := NewCosts("n1")
	argv := []byte("cc\x00-c\x00a.c\x00")
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		i++
		c.Ran(KeyOf(1, i%100+1, []byte("/src/git"), argv), "sh", Run{Node: "n2", Wall: sec, CPU: sec, Memory: 1 << 20}, day)
		if i%1000 == 0 {
			c.Take()
		}
	}
}
