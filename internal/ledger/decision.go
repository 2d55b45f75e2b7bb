package ledger

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"mexec"
)

// Candidate is a node that a job could have gone to when it was decided where it goes.
type Candidate struct {
	Node mexec.NodeID  `json:"node"`
	Cost time.Duration `json:"cost_ns,omitempty"` // until its end there, as far as could be told; 0: it could not
	Why  string        `json:"why,omitempty"`     // it was taken or not
}

// Turn is one node that a job was with in vain: it would not take the job, or was lost with it.
type Turn struct {
	At   time.Time    `json:"at"`
	Node mexec.NodeID `json:"node"`
	Why  string       `json:"why"`
}

// keepTurns bounds what is remembered of one job: its last turns.
const keepTurns = 8

// Decide notes where a job is to start, and what that was chosen from.
func (l *Ledger) Decide(j *Job, node mexec.NodeID, why string, considered []Candidate, now time.Time) {
	l.Set(j, Granted, now)
	j.Node, j.Why, j.Considered, j.Decided = node, why, considered, now
}

// inVain notes that the node of a job is not where it runs.
func (j *Job) inVain(now time.Time) {
	if len(j.Turns) >= keepTurns {
		j.Turns = append(j.Turns[:0], j.Turns[1:]...)
	}
	j.Turns = append(j.Turns, Turn{now, j.Node, strings.TrimPrefix(j.Cause, string(j.Node)+": ")})
}

// Late is how much later a job ended than it was expected to on the best of the other candidates. false: of none of them anything was expected.
// What is less than nothing is nothing: the choice was right.
func (j *Job) Late() (time.Duration, bool) {
	best := time.Duration(0)
	for _, c := range j.Considered {
		if c.Node != j.Node && c.Cost > 0 && (best == 0 || c.Cost < best) {
			best = c.Cost
		}
	}
	if best == 0 || j.Ended.IsZero() || j.Decided.IsZero() {
		return 0, false
	}
	return max(0, j.Ended.Sub(j.Decided)-best), true
}

// Account is what the book says of one job to whoever asks why.
type Account struct {
	Job
	Home mexec.NodeID   `json:"home"`              // where it was asked for
	Late *time.Duration `json:"late_ns,omitempty"` // absent: not known
}

// Account makes a copy of a job that stays as it is.
func (j *Job) Account(home mexec.NodeID) Account {
	a := Account{Job: *j, Home: home}
	a.Turns = slices.Clone(j.Turns)
	if late, ok := j.Late(); ok {
		a.Late = &late
	}
	return a
}

// Find returns the newest job that text means and that is this user's or that he may know of, as root may of all: its number; or words of its
// command; or with no text any. nil: there is none (any more).
func (l *Ledger) Find(text string, uid uint32) *Job {
	id, err := strconv.ParseUint(text, 10, 64)
	means := func(j *Job) bool {
		if uid != 0 && uid != j.UID {
			return false
		}
		if err == nil {
			return j.ID == mexec.JobID(id)
		}
		return strings.Contains(j.Command, text)
	}
	var best *Job
	for _, j := range l.jobs {
		if means(j) && (best == nil || j.ID > best.ID) {
			best = j
		}
	}
	for _, j := range l.past {
		if j != nil && means(j) && (best == nil || j.ID > best.ID) {
			best = j
		}
	}
	return best
}
