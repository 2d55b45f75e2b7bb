package ledger

import (
	"fmt"
	"testing"
	"time"

	"mexec"
)

var t0 = time.Unix(1_000_000, 0)

func run(l *Ledger, build mexec.BuildID, node mexec.NodeID, end State) *Job {
	j := l.Enter(build, "true", Caller{}, t0)
	l.Set(j, Granted, t0)
	j.Node = node
	l.Set(j, Starting, t0)
	l.Set(j, end, t0.Add(time.Second))
	return j
}

func TestOnlyDrawnChangesAreTaken(t *testing.T) {
	for from := Received; from <= Withdrawn; from++ {
		for to := Received; to <= Withdrawn; to++ {
			l := New()
			j := l.Enter("", "true", Caller{}, t0)
			j.State = from
			drawn := false
			for _, s := range follows[from] {
				drawn = drawn || s == to
			}
			func() {
				defer func() {
					if taken := recover() == nil; taken != drawn {
						t.Errorf("%v to %v: taken %v, drawn %v", from, to, taken, drawn)
					}
				}()
				l.Set(j, to, t0)
			}()
		}
	}
}

func TestBuildCountsEachJobOnceWhereItEnded(t *testing.T) {
	l := New()
	run(l, "b", "n1", Ended)
	run(l, "b", "n2", Ended)
	run(l, "b", "n2", Lost)
	run(l, "other", "n3", Ended)
	j := l.Enter("b", "true", Caller{}, t0)
	l.Set(j, Granted, t0)
	j.Node = "n3"
	l.Set(j, Starting, t0)
	l.Set(j, Received, t0)
	l.Set(j, Withdrawn, t0)
	again := run(l, "b", "n4", Missing)
	l.Set(again, Received, t0)
	l.Set(again, Granted, t0)
	again.Node = "n1"
	l.Set(again, Starting, t0)
	l.Set(again, Ended, t0)
	l.Set(run(l, "b", "n4", Missing), Ended, t0)
	b := l.Build("b")
	if b.Reruns != 1 || b.ByNode["n4"] != 1 {
		t.Errorf("%+v", b)
	}
	b.Jobs, b.ByNode["n1"] = b.Jobs-2, b.ByNode["n1"]-1
	if b.Jobs != 3 || b.Lost != 1 || b.ByNode["n1"] != 1 || b.ByNode["n2"] != 2 || b.ByNode["n3"] != 0 {
		t.Errorf("%+v", b)
	}
	if l.Open() != 0 || l.Total() != 7 {
		t.Errorf("%d open of %d", l.Open(), l.Total())
	}
}

func TestBookStaysBounded(t *testing.T) {
	l := New()
	for i := range 3 * keepJobs {
		run(l, mexec.BuildID(fmt.Sprint(i)), "n", Ended)
	}
	if len(l.builds) > keepBuilds || len(l.jobs) != 0 {
		t.Errorf("%d builds, %d jobs", len(l.builds), len(l.jobs))
	}
	last := l.Recent(2)
	if last[0].ID != 3*keepJobs || last[1].ID != 3*keepJobs-1 {
		t.Errorf("last: %d, %d", last[0].ID, last[1].ID)
	}
	if n := len(l.Recent(1 << 20)); n != keepJobs {
		t.Errorf("%d kept", n)
	}
}
