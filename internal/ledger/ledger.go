// Package ledger is the book of every job that this node owes an answer for: in which state it is, where, why there, and how it ended.
//
// It is pure: time is an argument, and it is not safe for concurrent use. Its size is bounded: jobs that are under way, the last
// jobs that ended, the last builds.
package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"mexec"
)

// State is where a job is in its life.
//
//	Received ──► Granted ──► Starting ──► Running ──► Ended, Lost or Missing
//	 ▲  │         │   │       │  └──► Ended, Lost or Missing
//	 └──┼─────────┘   │       │      refused, or the link went before Start was sent
//	 ▲  │             │       │
//	 ├──┼─────────────┼───────┘      refused: nothing ran
//	 │  └─────────────┴──► Withdrawn its caller went away first
//	 └── Missing ──► Ended           its caller went away; else it runs again
//
// A job waits in Received for a grant; the node is not known before there is one. What separates Granted from Starting is the
// point of no re-run: Start has been sent. Before it, any failure puts the job back to Received. After it only a job may come back there
// that may run again though it was lost, and by way of Missing: there it is as long as its lost run may be alive.
type State uint8

const (
	Received State = iota
	Granted
	Starting
	Running
	Missing
	Ended
	Lost
	Withdrawn
)

func (s State) String() string {
	return [...]string{"received", "granted", "starting", "running", "missing", "ended", "lost", "withdrawn"}[s]
}

// MarshalText and UnmarshalText make a state a word for those who ask the daemon.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s *State) UnmarshalText(b []byte) error {
	for is := Received; is <= Withdrawn; is++ {
		if is.String() == string(b) {
			*s = is
			return nil
		}
	}
	return fmt.Errorf("state %q: unknown", b)
}

// follows lists the states that may come after each.
var follows = [Withdrawn + 1][]State{
	Received: {Granted, Withdrawn},
	Granted:  {Starting, Received, Withdrawn},
	Starting: {Running, Missing, Ended, Lost, Received},
	Running:  {Missing, Ended, Lost},
	Missing:  {Received, Ended},
}

// Job is one line of the book. Status and Usage are written by whoever closes it, before that; all is under the lock of whoever owns the book.
type Job struct {
	ID       mexec.JobID   `json:"id"`
	Build    mexec.BuildID `json:"build,omitempty"`
	Command  string        `json:"command"`
	State    State         `json:"state"`
	Node     mexec.NodeID  `json:"node,omitempty"`
	Why      string        `json:"why,omitempty"`   // it is there
	Cause    string        `json:"cause,omitempty"` // it was last refused, or lost
	Status   mexec.Status  `json:"status"`
	Usage    mexec.Usage   `json:"usage"`
	Received time.Time     `json:"received"`
	Started  time.Time     `json:"started,omitzero"`
	Ended    time.Time     `json:"ended,omitzero"`

	// The decision (decision.go).
	Considered []Candidate `json:"considered,omitempty"`
	Decided    time.Time   `json:"decided,omitzero"` // the last time
	Turns      []Turn      `json:"turns,omitempty"`  // that came to nothing

	Caller
	borrows bool
}

// Caller is who calls for a job: the stub, whose process the program becomes where it runs on this node.
type Caller struct {
	UID uint32 `json:"uid"`
	PID int    `json:"pid"`
	Dir string `json:"dir,omitempty"`
}

// Build sums the jobs of one build.
type Build struct {
	ID       mexec.BuildID        `json:"id"`
	Jobs     int                  `json:"jobs"` // received so far
	Lost     int                  `json:"lost"`
	Reruns   int                  `json:"reruns"`  // of lost jobs
	ByNode   map[mexec.NodeID]int `json:"by_node"` // jobs that were started there
	CPU      time.Duration        `json:"cpu_ns"`
	Slowest  time.Duration        `json:"slowest_ns"`
	lastUsed time.Time
}

const (
	keepJobs   = 4096
	keepBuilds = 256
)

// Ledger is the book.
type Ledger struct {
	jobs   map[mexec.JobID]*Job
	next   mexec.JobID
	past   [keepJobs]*Job // the last that ended, a ring
	ended  int
	builds map[mexec.BuildID]*Build

	watched map[mexec.BuildID]int // by how many; nil: nobody watches
	changes []Change
}

// New returns an empty ledger.
func New() *Ledger {
	return &Ledger{jobs: map[mexec.JobID]*Job{}, builds: map[mexec.BuildID]*Build{}}
}

// Enter opens the line of a new job.
func (l *Ledger) Enter(build mexec.BuildID, command string, caller Caller, now time.Time) *Job {
	l.next++
	j := &Job{ID: l.next, Build: build, Command: command, Caller: caller, Received: now}
	l.jobs[j.ID] = j
	if b := l.build(build, now); b != nil {
		b.Jobs++
	}
	l.tell(j, j.received(), now)
	return j
}

// Set is the only place where a job changes its state. A change that the picture does not show is a mistake of ours.
func (l *Ledger) Set(j *Job, to State, now time.Time) {
	ok := false
	for _, s := range follows[j.State] {
		ok = ok || s == to
	}
	if !ok || l.jobs[j.ID] != j {
		panic(fmt.Sprintf("ledger: job %d can't go from %v to %v", j.ID, j.State, to))
	}
	switch to {
	case Received:
		if j.State == Starting || j.State == Missing {
			l.count(j, -1, now)
		}
		if b := l.build(j.Build, now); b != nil && j.State == Missing {
			b.Reruns++
		}
		j.inVain(now)
		j.Node, j.borrows = "", false
	case Starting:
		j.Started = now
		l.count(j, 1, now)
	case Ended, Lost, Withdrawn:
		j.Ended = now
		l.close(j, to, now)
	}
	if j.State != Missing || to != Received { // that was told
		defer l.tellState(j, now)
	}
	j.State = to
}

// count counts a job where it starts. Not where it has ended: who asks after the last command of a build has ended must find it.
func (l *Ledger) count(j *Job, by int, now time.Time) {
	if b := l.build(j.Build, now); b != nil {
		b.ByNode[j.Node] += by
	}
}

func (l *Ledger) close(j *Job, to State, now time.Time) {
	delete(l.jobs, j.ID)
	l.past[l.ended%keepJobs] = j
	l.ended++
	b := l.build(j.Build, now)
	if b == nil {
		return
	}
	switch to {
	case Withdrawn:
		b.Jobs--
	case Lost:
		b.Lost++
	case Ended:
		b.CPU += j.Usage.User + j.Usage.System
		b.Slowest = max(b.Slowest, now.Sub(j.Started))
	}
}

// Build returns the sums of a build, nil if it is not known (any more).
func (l *Ledger) Build(id mexec.BuildID) *Build { return l.builds[id] }

func (l *Ledger) build(id mexec.BuildID, now time.Time) *Build {
	if id == "" {
		return nil
	}
	b := l.builds[id]
	if b == nil {
		if len(l.builds) >= keepBuilds {
			l.forget()
		}
		b = &Build{ID: id, ByNode: map[mexec.NodeID]int{}}
		l.builds[id] = b
	}
	b.lastUsed = now
	return b
}

// forget drops the build that was used the longest ago.
func (l *Ledger) forget() {
	var oldest *Build
	for _, b := range l.builds {
		if oldest == nil || b.lastUsed.Before(oldest.lastUsed) {
			oldest = b
		}
	}
	delete(l.builds, oldest.ID)
}

// inOrder lists the jobs of a build that are under way, oldest first.
func (l *Ledger) inOrder(build mexec.BuildID) (jobs []*Job) {
	for _, j := range l.jobs {
		if j.Build == build {
			jobs = append(jobs, j)
		}
	}
	slices.SortFunc(jobs, func(a, b *Job) int { return cmp.Compare(a.ID, b.ID) })
	return jobs
}

// Open is how many jobs are under way; Total how many there were.
func (l *Ledger) Open() int { return len(l.jobs) }

func (l *Ledger) Total() int { return int(l.next) }

// EndedFrom lists the jobs that have ended from the nth of all on, as far as they are remembered, in the order in which they ended, and says where the
// list goes on later. Those of a number that is not reached yet, as after a restart of the daemon, are all.
func (l *Ledger) EndedFrom(n int) (jobs []*Job, next int) {
	if n < 0 || n > l.ended {
		n = 0
	}
	for n = max(n, l.ended-keepJobs); n < l.ended; n++ {
		jobs = append(jobs, l.past[n%keepJobs])
	}
	return jobs, l.ended
}

// Tail is an answer to who asks for the jobs that have ended since he asked last.
type Tail struct {
	Next int   `json:"next"` // where to go on
	Jobs []Job `json:"jobs"`
}

// Recent lists the jobs that ended, newest first, at most n.
func (l *Ledger) Recent(n int) []*Job {
	n = min(n, l.ended, keepJobs)
	out := make([]*Job, n)
	for i := range out {
		out[i] = l.past[(l.ended-1-i)%keepJobs]
	}
	return out
}
