package place

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"mexec"
)

// large is a home of n nodes with eight slots each.
func large(n int) (*Home, []mexec.Node) {
	h := NewHome(upNode(1, "n1", 8), chance(1))
	view := make([]mexec.Node, n)
	for i := range view {
		view[i] = upNode(i+1, mexec.NodeID(fmt.Sprint("n", i+1)), 8)
	}
	h.View(view, t0)
	return h, view
}

// What one job costs its home, from submit to end, while so many others wait: nothing that grows with the cluster.
func BenchmarkDecision(b *testing.B) {
	for _, nodes := range []int{10, 1000, 10_000} {
		for _, waiting := range []int{0, 1000} {
			b.Run(fmt.Sprintf("nodes=%d/waiting=%d", nodes, waiting), func(b *testing.B) {
				h, _ := large(nodes)
				id := mexec.JobID(0)
				submit := func() {
					id++
					h.Submit(Job{ID: id, UID: uint32(id % 3), Build: "b", Cost: mexec.Cost{Wall: time.Duration(id%100) * time.Millisecond}}, t0)
				}
				for range waiting {
					submit()
				}
				h.Granted("n1", Offer{Grants: []Grant{1}, Lease: time.Hour}, t0)
				grant := Grant(1)
				var running []Start
				b.ReportAllocs()
				for b.Loop() {
					submit()
					running = append(running, h.Take().Starts...)
					for _, s := range running {
						grant++
						h.Ended(s.Job, Renewal{Grant: grant, Lease: time.Hour}, t0)
					}
					running = running[:0]
				}
			})
		}
	}
}

// The same where nodes differ in speed, so that for each job there are grants that it leaves alone.
func BenchmarkDecisionWhereNodesDiffer(b *testing.B) {
	h, view := large(10_000)
	speed := map[mexec.NodeID]float64{}
	for i := range view {
		view[i].Speed = []float64{1, 0.25, 1.3, 2}[i%4]
		speed[view[i].Name] = view[i].Speed
	}
	h.View(view, t0)
	now, id, grant := t0, mexec.JobID(0), Grant(0)
	cost := func(id mexec.JobID) time.Duration { return time.Duration(1+id%100) * 10 * time.Millisecond }
	submit := func() {
		id++
		h.Submit(Job{ID: id, Build: "b", Cost: mexec.Cost{Runs: 1, Wall: cost(id)}}, now)
	}
	type end struct {
		at time.Time
		id mexec.JobID
	}
	var ends []end
	start := func() {
		for _, s := range h.Take().Starts {
			e := end{now.Add(time.Duration(float64(cost(s.Job)) / speed[s.Node])), s.Job}
			i, _ := slices.BinarySearchFunc(ends, e.at, func(e end, at time.Time) int { return e.at.Compare(at) })
			ends = slices.Insert(ends, i, e)
		}
	}
	for range 1000 {
		submit()
	}
	for _, n := range h.sets[0].members[1:41] {
		for range 8 {
			grant++
			h.Granted(n.Name, Offer{Grants: []Grant{grant}, Lease: time.Hour}, now)
		}
	}
	start()
	b.ReportAllocs()
	for b.Loop() {
		now = ends[0].at
		submit()
		grant++
		h.Ended(ends[0].id, Renewal{Grant: grant, Lease: time.Hour}, now)
		ends = ends[1:]
		start()
	}
}

// A thousand jobs at once, at a home that has never run any.
func BenchmarkBurst(b *testing.B) {
	h, _ := large(10_000)
	id := mexec.JobID(0)
	for b.Loop() {
		for range 1000 {
			id++
			h.Submit(Job{ID: id, Build: "b"}, t0)
		}
		h.Take()
		b.StopTimer()
		for ; h.Waiting() > 0; id-- {
			h.Withdraw(id)
		}
		id += 2000
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/job")
}

// News of one node, and of all.
func BenchmarkView(b *testing.B) {
	h, view := large(10_000)
	b.Run("update", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			v := view[i%len(view)]
			v.Busy = i % 8
			h.Update(v, t0)
		}
	})
	b.Run("view", func(b *testing.B) {
		for b.Loop() {
			h.View(view, t0)
		}
	})
	b.Run("tick", func(b *testing.B) {
		for b.Loop() {
			h.Tick(t0)
		}
	})
}

func TestAViewTakesLessThanAKibibyteForEachNode(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	h, _ := large(10_000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (after.HeapAlloc - before.HeapAlloc) / 10_000; each > 1024 {
		t.Errorf("%d bytes", each)
	} else {
		t.Logf("%d bytes", each)
	}
	runtime.KeepAlive(h)
}
