package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"mexec"
)

func TestADecisionIsRememberedWithWhatItWasTakenFrom(t *testing.T) {
	l := New()
	j := l.Enter("b", "cc -c a.c", Caller{UID: 7}, t0)
	for i, node := range []mexec.NodeID{"n2", "n3"} {
		l.Decide(j, node, "free", []Candidate{{Node: node}}, t0)
		j.Cause = string(node) + ": not mounted"
		l.Set(j, Received, t0.Add(time.Duration(i)*time.Second))
	}
	if want := []Turn{{t0, "n2", "not mounted"}, {t0.Add(time.Second), "n3", "not mounted"}}; !slices.Equal(j.Turns, want) {
		t.Errorf("turns %v", j.Turns)
	}
	l.Decide(j, "n1", "nobody else", []Candidate{{Node: "n1", Cost: 3 * time.Second}, {Node: "n4", Cost: 2 * time.Second, Why: "busy"}, {Node: "n5"}}, t0)
	l.Set(j, Starting, t0)
	if _, known := j.Late(); known {
		t.Error("late before it has ended")
	}
	l.Set(j, Ended, t0.Add(3500*time.Millisecond))
	a := j.Account("n1")
	if a.Late == nil || *a.Late != 1500*time.Millisecond {
		t.Errorf("%v late", a.Late)
	}
	b, err := json.Marshal(a)
	var again Account
	if err == nil {
		err = json.Unmarshal(b, &again)
	}
	if err != nil || again.State != Ended || again.UID != 7 || len(again.Considered) != 3 || len(again.Turns) != 2 {
		t.Errorf("%s became %+v, %v", b, again, err)
	}
}

func TestWhatIsRememberedOfOneJobIsBounded(t *testing.T) {
	l := New()
	j := l.Enter("", "x", Caller{}, t0)
	for i := range 100 {
		l.Decide(j, mexec.NodeID(fmt.Sprint("n", i)), "", nil, t0)
		l.Set(j, Received, t0)
	}
	if len(j.Turns) != keepTurns || j.Turns[keepTurns-1].Node != "n99" {
		t.Errorf("%v", j.Turns)
	}
}

func TestLateIsKnownWhereSomethingWasExpected(t *testing.T) {
	for _, c := range []struct {
		considered []Candidate
		took, late time.Duration
		known      bool
	}{
		{nil, time.Second, 0, false},
		{[]Candidate{{Node: "here", Cost: time.Second}}, 2 * time.Second, 0, false}, // itself
		{[]Candidate{{Node: "n2"}}, time.Second, 0, false},                          // nobody could tell
		{[]Candidate{{Node: "n2", Cost: 3 * time.Second}}, time.Second, 0, true},    // it was right to stay
		{[]Candidate{{Node: "n2", Cost: 3 * time.Second}, {Node: "n3", Cost: time.Second}}, 2 * time.Second, time.Second, true},
	} {
		j := &Job{Node: "here", Considered: c.considered, Decided: t0, Ended: t0.Add(c.took)}
		if late, known := j.Late(); late != c.late || known != c.known {
			t.Errorf("%v: %v, %v", c.considered, late, known)
		}
	}
}

func TestAJobIsFoundByItsNumberOrWordsAndByItsUserOnly(t *testing.T) {
	l := New()
	enter := func(uid uint32, command string) *Job { return l.Enter("", command, Caller{UID: uid}, t0) }
	a := enter(7, "cc -c a.c")
	b := enter(8, "cc -c b.c")
	c := enter(7, "cc -c a.c")
	l.Set(c, Withdrawn, t0)
	for _, q := range []struct {
		text string
		uid  uint32
		want *Job
	}{
		{"", 7, c}, {"", 8, b}, {"", 0, c}, {"", 9, nil},
		{"1", 7, a}, {"2", 7, nil}, {"2", 0, b}, {"3", 7, c}, {"4", 0, nil},
		{"a.c", 7, c}, {"b.c", 7, nil}, {"b.c", 8, b}, {"ld", 0, nil},
	} {
		if got := l.Find(q.text, q.uid); got != q.want {
			t.Errorf("%q of %d: %v", q.text, q.uid, got)
		}
	}
}
