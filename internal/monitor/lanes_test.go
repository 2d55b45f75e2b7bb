package monitor

import (
	"slices"
	"testing"
	"time"

	"mexec/internal/monitortest"
)

func TestTheChainGoesBackFromWhatEndedLast(t *testing.T) {
	events, err := monitortest.Events(`
0s cluster room=4 node1*:2 node2:2
0s received 1 first
0s starts 1 node1 here
0s received 2 beside
0s starts 2 node2 there
1s ended 2
# The tool has seen it end, and asked for the next, before the daemon said so.
2.1s ended 1
2s reaped pid=1001 user=1s
2.05s received 3 second
3s starts 3 node2 there
3.5s received 4 kept for nothing
3.5s starts 4 node1 here
3.6s ended 4
4s ended 3
4s received 5 last
4s starts 5 node1 here
4s ended 5
4s received 6 of no length
4s starts 6 node1 here
4s ended 6
`)
	if err != nil {
		t.Fatal(err)
	}
	m := New(monitortest.Began, true)
	m.Fold(events)
	p := m.picture(monitortest.Began.Add(5 * time.Second))
	var names []string
	for _, i := range p.chain() {
		names = append(names, p.spans[i].Text)
	}
	if want := []string{"first", "second", "of no length"}; !slices.Equal(names, want) {
		t.Errorf("the chain is %q, not %q", names, want)
	}
	if !slices.Equal(p.lanes, []int{1, 1}) {
		t.Errorf("%v lanes", p.lanes)
	}
	if got := New(monitortest.Began, true).picture(monitortest.Began).chain(); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}
