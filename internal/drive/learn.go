package drive

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"mexec"
	"mexec/internal/history"
	"mexec/internal/journal"
)

// shortVariable is the limit in milliseconds below which a command is short. 0: none is.
const shortVariable = "MEXEC_SHORT"

func shortLimit(getenv func(string) string) (time.Duration, error) {
	text := getenv(shortVariable)
	if text == "" {
		return history.Limit, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%s=%s: not a number of milliseconds", shortVariable, text)
	}
	return time.Duration(n) * time.Millisecond, nil
}

// learning hears how long the commands of a build took and lets those kinds stay here that take less time than sending them (internal/history). What one
// build has learned the next one knows, of this project or another.
//
// The time of a command that was placed is the daemon's, from its start to its end; on which node counts for nothing. Of one that was kept for being short it
// is its driver's, until that has waited for it. The kind is what its driver said of the process.
type learning struct {
	started func(pid int) (journal.Start, bool)
	learner *history.Learner
	file    string // empty: nowhere
	before  []byte // what was in it

	placed map[placedJob]*running
	kept   map[int]*running // by PID
}

// placedJob is a job among those of both daemons.
type placedJob struct {
	source string
	job    mexec.JobID
}

// running is a command that was not heard to end. Its kind is 0 as long as nobody has said it.
type running struct {
	pid       int
	asked, at time.Time // at: since when it runs
	kind      journal.Kind
	over      bool // it has taken so long that no more is to be learned
}

var _ sink = (*learning)(nil)

// newLearning is nil where nothing is to be learned.
func newLearning(j *journal.Journal, limit time.Duration, file string) *learning {
	if j == nil || limit == 0 {
		return nil
	}
	return learn(j.Started, j.SetShort, limit, file)
}

func learn(started func(int) (journal.Start, bool), setShort func(journal.Kind, bool), limit time.Duration, file string) *learning {
	l := &learning{started: started, file: file, placed: map[placedJob]*running{}, kept: map[int]*running{}}
	l.learner = history.New(limit, func(k history.Kind, short bool) { setShort(journal.Kind(k), short) })
	if file != "" {
		l.before, _ = os.ReadFile(file)
		l.learner.Learn(l.before)
	}
	return l
}

// mistaken is how far what a driver says of a process may be from when others saw it. The last process of that number is longer ago.
const mistaken = time.Second

// know finds out a kind as soon as the driver has told it. Later another process may have taken its place.
func (l *learning) know(r *running, stayed bool) {
	if r.kind != 0 {
		return
	}
	s, ok := l.started(r.pid)
	if !ok || s.Stayed != stayed || s.At.Sub(r.asked).Abs() > mistaken {
		return
	}
	r.kind = s.Kind
	if stayed {
		r.at = s.At
	}
}

func (l *learning) ended(r *running, at time.Time) {
	if r.kind != 0 && !r.over && !r.at.IsZero() {
		l.learner.Ran(history.Kind(r.kind), max(at.Sub(r.at), 0))
	}
}

// Events: those that are kept may be of a kind that takes long this time, and the next ones are not to wait for their end.
func (l *learning) Events(events []mexec.Event) {
	var now time.Time // as the drivers see it
	for _, e := range events {
		job := placedJob{e.Source, e.Job}
		r := l.placed[job]
		switch e.Kind {
		case mexec.Received:
			r = &running{pid: e.PID, asked: e.At}
			l.placed[job] = r
			l.know(r, false)
		case mexec.Starts:
			if r != nil {
				r.at = e.At
			}
		case mexec.Waits:
			if r != nil {
				r.at = time.Time{}
			}
		case mexec.Ended:
			if r != nil {
				l.know(r, false)
				l.ended(r, e.At)
			}
			delete(l.placed, job)
		case mexec.Lost, mexec.Withdrawn:
			delete(l.placed, job)
		case mexec.Gap:
			l.forget(e.Source)
		case mexec.Kept:
			now = e.At
			if e.Why == journal.Short {
				r := &running{pid: e.PID, asked: e.At}
				l.kept[e.PID] = r
				l.know(r, true)
			}
		case mexec.Reaped:
			now = e.At
			if r := l.kept[e.PID]; r != nil {
				l.ended(r, e.At)
				delete(l.kept, e.PID)
			}
		}
	}
	for _, r := range l.kept {
		if took := now.Sub(r.at); r.kind != 0 && !r.over && l.learner.Far(took) {
			l.ended(r, now)
			r.over = true
		}
	}
}

// forget is for a daemon that is heard no longer.
func (l *learning) forget(source string) {
	for job := range l.placed {
		if job.source == source {
			delete(l.placed, job)
		}
	}
}

// save is for when the build is over. Of two builds that end at once the last one's file stays.
func (l *learning) save() {
	if l == nil || l.file == "" {
		return
	}
	if text := l.learner.Text(); !bytes.Equal(text, l.before) {
		replace(l.file, text)
	}
}
