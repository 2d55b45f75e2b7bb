package simtest

import (
	"time"

	"mexec"
)

// equal is the ideal that serves all users alike, as ours must: one scheduler for all, whose messages take no time, and in which who runs least goes first: of the users, of
// the user's builds, and in a build in the order of arrival, or as ours where it is known what jobs take: the longest first. The omniscient one serves strangers in that order, which nobody may who has to be fair; where more is wanted than there is,
// the difference between the two is what fairness costs, and that to ours what placement does. It is for nodes of one speed.
type equal struct {
	w     *world
	idle  []*worker // once for each slot
	users map[int]*share
}

// share is what one user has.
type share struct {
	running int
	builds  map[mexec.BuildID]*queue
	order   []*queue // by when the first of each came
}

type queue struct {
	running int
	jobs    []*job
}

func newEqual(w *world) scheduler {
	e := &equal{w: w, users: map[int]*share{}}
	for _, n := range w.nodes {
		for range n.slots {
			e.idle = append(e.idle, n)
		}
	}
	return e
}

func (e *equal) queueOf(j *job) (*share, *queue) {
	u := e.users[j.user]
	if u == nil {
		u = &share{builds: map[mexec.BuildID]*queue{}}
		e.users[j.user] = u
	}
	q := u.builds[j.build]
	if q == nil {
		q = new(queue)
		u.builds[j.build] = q
		u.order = append(u.order, q)
	}
	return u, q
}

func (e *equal) submit(jobs []*job) {
	for _, j := range jobs {
		_, q := e.queueOf(j)
		q.jobs = append(q.jobs, j)
		for i := len(q.jobs) - 1; i > 0 && e.rank(q.jobs[i]) < e.rank(q.jobs[i-1]); i-- {
			q.jobs[i], q.jobs[i-1] = q.jobs[i-1], q.jobs[i]
		}
	}
	e.serve()
}

// rank is when a job's turn is, as place has it.
func (e *equal) rank(j *job) time.Duration {
	if !e.w.shape.Known {
		return j.at
	}
	return j.at - e.w.shape.Sizes.usual[j.Kind]
}

func (e *equal) serve() {
	for len(e.idle) > 0 {
		u, q := e.next()
		if u == nil {
			return
		}
		j, n := q.jobs[0], e.idle[len(e.idle)-1]
		q.jobs, e.idle = q.jobs[1:], e.idle[:len(e.idle)-1]
		u.running++
		q.running++
		e.w.begin(j, n)
	}
}

// next is whose turn it is: by number, where two have as much, so that a seed repeats its run.
func (e *equal) next() (user *share, first *queue) {
	for number := range e.w.shape.users() {
		u := e.users[number]
		if u == nil || user != nil && u.running >= user.running {
			continue
		}
		var least *queue
		for _, q := range u.order {
			if len(q.jobs) > 0 && (least == nil || q.running < least.running) {
				least = q
			}
		}
		if least != nil {
			user, first = u, least
		}
	}
	return user, first
}

func (e *equal) finished(j *job, n *worker) {
	u, q := e.queueOf(j)
	u.running--
	q.running--
	e.idle = append(e.idle, n)
	e.serve()
	e.w.done(j)
}
