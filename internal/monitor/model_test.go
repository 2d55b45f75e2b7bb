package monitor_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"mexec"
	"mexec/internal/monitor"
	"mexec/internal/monitortest"
)

// A build may have a million commands. What is remembered of them is sums.
func TestAModelDoesNotGrowWithTheCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	m := monitor.New(monitortest.Began, false)
	grow := func(from, to int) {
		for i := from; i < to; i++ {
			at := monitortest.Began.Add(time.Duration(i) * time.Millisecond)
			id := mexec.JobID(i + 1)
			m.Fold([]mexec.Event{
				{Kind: mexec.Received, At: at, Job: id, PID: i, Command: fmt.Sprint("command ", i)},
				{Kind: mexec.Starts, At: at, Job: id, Node: "node2", Why: "free"},
				{Kind: mexec.Waits, At: at, Job: id, Why: fmt.Sprint("refusal ", i)},
				{Kind: mexec.Starts, At: at, Job: id, Node: "node3", Why: "free"},
				{Kind: mexec.Ended, At: at.Add(time.Second), Job: id},
				{Kind: mexec.Kept, At: at, PID: 1<<30 + i%100000, Command: fmt.Sprint("tool", i, " x"), Why: "policy"}, // never waited for
				{Kind: mexec.Reaped, At: at, PID: 1 << 29, Usage: mexec.Usage{User: 1}},                                // of nobody
			})
		}
	}
	size := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	grow(0, 200000)
	before := size()
	grow(200000, 600000)
	if after := size(); after > before+4<<20 {
		t.Errorf("%d bytes, and %d after three times as many commands", before, after)
	}
	if m.Ended != 600000 || len(m.Commands) != 0 || len(m.Stays()) > 300 || len(m.Refusals) > 100 {
		t.Errorf("%d ended, %d kept, %d programs, %d reasons", m.Ended, len(m.Commands), len(m.Stays()), len(m.Refusals))
	}
	runtime.KeepAlive(m)
}

func TestTheEstimateGoesFromTheLastBuildToThePaceOfThisOne(t *testing.T) {
	last := monitor.Expect{Commands: 100, Elapsed: 100 * time.Second}
	for _, c := range []struct {
		expect  monitor.Expect
		ended   int
		elapsed time.Duration
		left    time.Duration
		ok      bool
	}{
		{monitor.Expect{}, 5, time.Second, 0, false},
		{last, 0, 0, 100 * time.Second, true},
		{last, 0, 10 * time.Second, 90 * time.Second, true},
		{last, 50, 50 * time.Second, 50 * time.Second, true},
		{last, 50, 20 * time.Second, 50 * time.Second, true}, // half of it by the last build, which was slower
		{last, 90, 180 * time.Second, 10 * time.Second, true},
		{last, 100, 100 * time.Second, 0, false},
		{last, 101, 10 * time.Second, 0, false}, // another build than the last
		{last, 0, 101 * time.Second, 0, false},
	} {
		left, ok := c.expect.Left(c.ended, c.elapsed)
		if ok != c.ok || ok && left.Round(time.Second) != c.left {
			t.Errorf("%+v, %d ended in %v: %v, %v", c.expect, c.ended, c.elapsed, left, ok)
		}
	}
}

func TestNewsOfTheRoomAloneLeavesTheNodesAsTheyWere(t *testing.T) {
	m := monitor.New(monitortest.Began, false)
	m.Fold([]mexec.Event{{Kind: mexec.Cluster, At: monitortest.Began, Nodes: []mexec.Node{{Number: 1, Name: "node1", State: mexec.Self, Slots: 2}}, Room: 2}})
	before := fmt.Sprintf("%+v", *m.Nodes()[0])
	m.Fold([]mexec.Event{{Kind: mexec.Cluster, At: monitortest.Began.Add(time.Second), Room: 1}})
	if after := m.Nodes(); len(after) != 1 || fmt.Sprintf("%+v", *after[0]) != before || m.Room != 1 {
		t.Errorf("%+v, room %d; before %s", after, m.Room, before)
	}
}
