package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mexec"
)

// told words the changes since the last call.
func told(l *Ledger) string {
	var out []string
	for _, c := range l.Changes() {
		e := c.Event
		s := fmt.Sprintf("%d %s", e.Job, e.Kind)
		for _, text := range []string{e.Command, e.Dir, string(e.Node), e.Why} {
			if text != "" {
				s += " " + text
			}
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestAWatcherHearsEachChangeOfAJobOnceAndInOrder(t *testing.T) {
	l := New()
	l.Watch("b")
	j := l.Enter("b", "cc a.c", Caller{UID: 7, PID: 42, Dir: "/src"}, t0)
	c := l.Changes()
	if len(c) != 1 || c[0].UID != 7 || c[0].Event.PID != 42 || !c[0].Event.At.Equal(t0) {
		t.Errorf("%+v", c)
	}
	start := func(node mexec.NodeID) {
		l.Set(j, Granted, t0)
		j.Node, j.Why = node, "a slot"
	}
	start("n1")
	j.Cause = "n1: no link"
	l.Set(j, Received, t0) // before Start was sent
	start("n2")
	l.Set(j, Starting, t0)
	j.Cause = "n2: no such directory"
	l.Set(j, Received, t0)
	start("n3")
	l.Set(j, Starting, t0)
	l.Set(j, Running, t0)
	j.Status, j.Usage = mexec.Status{Code: 3}, mexec.Usage{User: time.Second}
	l.Set(j, Ended, t0)
	changes := l.Changes()
	if last := changes[len(changes)-1].Event; last.Status.Code != 3 || last.Usage.User != time.Second {
		t.Errorf("%+v", last)
	}
	l.changes = changes
	if got, want := told(l), "1 waits n1: no link; 1 starts n2 a slot; 1 waits n2: no such directory; 1 starts n3 a slot; 1 ended"; got != want {
		t.Errorf("told %q", got)
	}
	j = l.Enter("b", "ld", Caller{}, t0)
	start("n1")
	l.Set(j, Starting, t0)
	j.Cause = "silence"
	l.Set(j, Lost, t0)
	j = l.Enter("b", "ar", Caller{}, t0)
	l.Set(j, Withdrawn, t0)
	if got, want := told(l), "2 received ld; 2 starts n1 a slot; 2 lost silence; 3 received ar; 3 withdrawn"; got != want {
		t.Errorf("told %q", got)
	}
	j = l.Enter("b", "cc", Caller{}, t0)
	start("n1")
	l.Set(j, Starting, t0)
	j.Cause = "n1 was lost"
	l.Set(j, Missing, t0)
	if c := l.UnderWay("b"); len(c) != 2 || c[1].Event.Kind != mexec.Waits {
		t.Errorf("%+v", c)
	}
	l.Set(j, Received, t0)
	start("n2")
	l.Set(j, Starting, t0)
	if got, want := told(l), "4 received cc; 4 starts n1 a slot; 4 waits n1 was lost; 4 starts n2 a slot"; got != want {
		t.Errorf("told %q", got)
	}
}

func TestWhatNobodyWatchesLeavesNothing(t *testing.T) {
	l := New()
	run(l, "b", "n1", Ended)
	if l.changes != nil {
		t.Error("without any watcher")
	}
	l.Watch("other")
	l.Watch("other")
	run(l, "b", "n1", Ended)
	if l.changes != nil {
		t.Error("of another build")
	}
	l.Unwatch("other")
	if run(l, "other", "n1", Ended); len(l.Changes()) != 3 {
		t.Error("the second watcher does not hear of it")
	}
	l.Unwatch("other")
	if run(l, "other", "n1", Ended); l.watched != nil || l.Changes() != nil {
		t.Error("after the last watcher is gone")
	}
}

// Whoever comes late and hears what is under way knows what one knows who was there from the begin.
func TestALatecomerIsToldWhatIsUnderWay(t *testing.T) {
	l := New()
	run(l, "b", "n1", Ended)
	for i := range 4 {
		l.Enter("b", fmt.Sprint("job", i), Caller{}, t0.Add(time.Duration(i)))
	}
	l.Enter("other", "x", Caller{}, t0)
	l.Set(l.jobs[3], Granted, t0)
	l.jobs[3].Node, l.jobs[3].Why = "n2", "free"
	l.Set(l.jobs[3], Starting, t0.Add(time.Minute))
	l.Set(l.jobs[4], Granted, t0)
	l.jobs[5].Cause = "n3: busy"
	l.Watch("b")
	l.Borrows(l.jobs[3], t0)
	if got, want := told(l), "3 borrows"; got != want {
		t.Errorf("told %q", got)
	}
	changes := l.UnderWay("b")
	if i := slices.IndexFunc(changes, func(c Change) bool { return c.Event.Kind == mexec.Starts }); !changes[i].Event.At.Equal(t0.Add(time.Minute)) {
		t.Errorf("%+v", changes[i])
	}
	l.changes = changes
	if got, want := told(l), "2 received job0; 3 received job1; 3 starts n2 free; 3 borrows; 4 received job2; 5 received job3; 5 waits n3: busy"; got != want {
		t.Errorf("told %q", got)
	}
}
