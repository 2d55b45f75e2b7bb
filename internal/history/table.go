package history

import (
	"slices"
	"time"
)

// table has a bounded number of estimates, and forgets those that it has not heard of for longest.
type table struct {
	most    int
	entries map[uint64]*entry
	ring    entry    // of all entries: next is the one heard of last
	changed []*entry // some of them forgotten since
	gone    []uint64 // that somebody keeps
}

type entry struct {
	estimate
	key        uint64
	name       string
	used       int64 // Unix seconds of the last run
	changed    bool  // since the last Take
	kept       bool  // by who called Take, or Restore
	last       where // it ran
	prev, next *entry
}

func newTable(most int) table {
	return table{most: most, entries: map[uint64]*entry{}}
}

func (t *table) find(key uint64) *entry {
	e := t.entries[key]
	if e != nil {
		t.front(e)
	}
	return e
}

// open finds an entry that is about to change, or makes room for it.
func (t *table) open(key uint64, now time.Time) *entry {
	e := t.find(key)
	if e == nil {
		e = t.add(key)
	}
	e.used = now.Unix()
	if !e.changed {
		if len(t.changed) >= 2*t.most { // nobody takes them
			t.changed = slices.DeleteFunc(t.changed, func(e *entry) bool { return t.entries[e.key] != e })
		}
		e.changed = true
		t.changed = append(t.changed, e)
	}
	return e
}

func (t *table) add(key uint64) *entry {
	if len(t.entries) >= t.most {
		old := t.ring.prev
		old.out()
		delete(t.entries, old.key)
		if old.kept {
			t.gone = append(t.gone, old.key)
		}
	}
	e := &entry{key: key}
	t.entries[key] = e
	t.front(e)
	return e
}

func (t *table) front(e *entry) {
	if t.ring.next == nil {
		t.ring.prev, t.ring.next = &t.ring, &t.ring
	}
	if t.ring.next == e {
		return
	}
	if e.next != nil {
		e.out()
	}
	e.prev, e.next = &t.ring, t.ring.next
	e.prev.next, e.next.prev = e, e
}

func (e *entry) out() {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

// Row is an estimate as it is kept.
type Row struct {
	Key            uint64
	Exact          bool   // of one command; else of a kind
	Name           string // of a kind's program, for people
	Runs           uint32
	CPU, Wall      float64 // seconds
	Memory, Spread float64 // bytes
	Output         float64 // bytes
	Used           int64   // Unix seconds of the last run
}

// Take returns what has changed since the last call, and the keys of what was forgotten.
func (c *Costs) Take() (changed []Row, gone []uint64) {
	for _, t := range []*table{&c.kinds, &c.commands} {
		for _, e := range t.changed {
			e.changed = false
			if t.entries[e.key] == e {
				e.kept = true
				changed = append(changed, Row{
					Key: e.key, Exact: t == &c.commands, Name: e.name, Runs: e.runs, CPU: float64(e.cpu), Wall: float64(e.wall),
					Memory: float64(e.memory), Spread: float64(e.spread), Output: float64(e.output), Used: e.used,
				})
			}
		}
		for _, key := range t.gone {
			if t.entries[key] == nil { // and not learned anew since
				gone = append(gone, key)
			}
		}
		t.changed, t.gone = t.changed[:0], nil
	}
	return changed, gone
}

// Restore takes over what was kept: the least lately used first. What was learned meanwhile is newer, and stays.
func (c *Costs) Restore(rows []Row) {
	slices.SortStableFunc(rows, func(a, b Row) int { return int(max(-1, min(1, a.Used-b.Used))) })
	for _, r := range rows {
		t := &c.kinds
		if r.Exact {
			t = &c.commands
		}
		if t.entries[r.Key] != nil || !r.sound() {
			continue
		}
		e := t.add(r.Key)
		e.name, e.used, e.kept = r.Name, r.Used, true
		e.estimate = estimate{
			runs: r.Runs, cpu: float32(r.CPU), wall: float32(r.Wall), output: float32(r.Output),
			memory: float32(r.Memory), spread: float32(r.Spread),
		}
	}
}

// sound says that a row could have come from Take.
func (r *Row) sound() bool {
	for _, v := range []float64{r.CPU, r.Wall, r.Memory, r.Spread, r.Output} {
		if !(v >= 0 && v < 1<<60) {
			return false
		}
	}
	return r.Key != 0 && r.Runs > 0
}
