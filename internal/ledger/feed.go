package ledger

import (
	"time"

	"mexec"
)

// Change is an event of a job, and for whom it is: who watches this build, and is this user or root.
type Change struct {
	Build mexec.BuildID
	UID   uint32
	Event mexec.Event
}

// Watch asks for the changes of a build, until Unwatch has been called as often. A build that nobody watches costs one look at a nil map.
func (l *Ledger) Watch(build mexec.BuildID) {
	if l.watched == nil {
		l.watched = map[mexec.BuildID]int{}
	}
	l.watched[build]++
}

// Unwatch undoes a Watch.
func (l *Ledger) Unwatch(build mexec.BuildID) {
	if l.watched[build]--; l.watched[build] <= 0 {
		delete(l.watched, build)
	}
	if len(l.watched) == 0 {
		l.watched = nil
	}
}

// Changes returns what has changed in watched builds since the last call, in the order in which it did.
func (l *Ledger) Changes() []Change {
	c := l.changes
	l.changes = nil
	return c
}

// tell notes an event of a job for whoever watches its build.
func (l *Ledger) tell(j *Job, e mexec.Event, now time.Time) {
	if l.watched == nil || l.watched[j.Build] == 0 {
		return
	}
	e.Job, e.At = j.ID, now
	l.changes = append(l.changes, Change{j.Build, j.UID, e})
}

// tellState tells that a job has come into its present state. Granted and Running are the daemon's own business: nobody outside can tell the
// first from waiting, nor the second from Starting.
func (l *Ledger) tellState(j *Job, now time.Time) {
	if l.watched == nil {
		return
	}
	switch j.State {
	case Received, Missing:
		l.tell(j, mexec.Event{Kind: mexec.Waits, Why: j.Cause}, now)
	case Starting:
		l.tell(j, j.starts(), now)
	case Ended:
		late, _ := j.Late()
		l.tell(j, mexec.Event{Kind: mexec.Ended, Status: j.Status, Usage: j.Usage, Late: late}, now)
	case Lost:
		l.tell(j, mexec.Event{Kind: mexec.Lost, Why: j.Cause}, now)
	case Withdrawn:
		l.tell(j, mexec.Event{Kind: mexec.Withdrawn}, now)
	}
}

// Borrows notes that a job uses a jobserver on the node where it runs.
func (l *Ledger) Borrows(j *Job, now time.Time) {
	j.borrows = true
	l.tell(j, mexec.Event{Kind: mexec.Borrows}, now)
}

func (j *Job) received() mexec.Event {
	return mexec.Event{Kind: mexec.Received, Command: j.Command, PID: j.PID, Dir: j.Dir}
}

func (j *Job) starts() mexec.Event {
	return mexec.Event{Kind: mexec.Starts, Node: j.Node, Why: j.Why}
}

// UnderWay tells of the jobs of a build that are under way as if they had just come there, in the order in which they were received: what a watcher has
// to know who comes late. Each keeps its times.
func (l *Ledger) UnderWay(build mexec.BuildID) (changes []Change) {
	for _, j := range l.inOrder(build) {
		add := func(e mexec.Event, at time.Time) {
			e.Job, e.At = j.ID, at
			changes = append(changes, Change{build, j.UID, e})
		}
		add(j.received(), j.Received)
		switch {
		case j.State == Starting || j.State == Running:
			add(j.starts(), j.Started)
			if j.borrows {
				add(mexec.Event{Kind: mexec.Borrows}, j.Started)
			}
		case j.Cause != "":
			add(mexec.Event{Kind: mexec.Waits, Why: j.Cause}, j.Received)
		}
	}
	return changes
}
