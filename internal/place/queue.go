package place

import (
	"fmt"
	"slices"
	"time"

	"mexec"
)

// Jobs wait in queues: one for each build and wish, since all of a queue may go to the same nodes, but for what a node refused.
//
// In a queue the longest job goes first, where that is known: a long one that starts last is what a build waits for at its end. Age counts as much: a job goes before
// those that came later by what it takes longer than they, so none waits for ever. Those that nobody knows take as long as the average. Between
// queues those of the user who runs the least go first, then those of the build that does.

type job struct {
	Job
	queue   *queue
	at      int // in the queue
	rank    int64
	since   time.Time
	entered time.Time // when it last began to wait
	waits   bool
	started time.Time
	counted time.Duration // in the work of the queue
	patient time.Time     // until then it waits for a faster node, if it has begun to
	node    *node         // where it runs, nil while it waits
	place   int           // among those that run there
	first   bool          // goes before the others: it has waited before
	strict  bool          // only a grant that comes with its memory will do
	refused []mexec.NodeID
	last    string // the last refusal
}

type queueKey struct {
	uid   uint32
	build mexec.BuildID
	wish  string
	here  bool
}

type queue struct {
	queueKey
	*share
	set   *set
	jobs  []*job        // a heap by rank
	work  time.Duration // what they take in all
	odd   int           // of these, that some node has refused, or whose memory
	moved time.Time     // when one last started, or the first came
	tried uint64        // the round in which no idle grant was for it

	sought int       // slots that were asked for
	wide   bool      // of every node of the set, as many as it may be asked for
	spent  bool      // and there is no other
	epoch  uint64    // when that was
	came   []*job    // in the order in which they came, some of them gone
	round  int       // how often what was asked for did not come
	began  time.Time // when the last round did
}

type shareKey struct {
	uid   uint32
	build mexec.BuildID
}

// share is a build of a user, as it is told to workers.
type share struct {
	shareKey
	running int
	waiting int
	asked   bool          // nodes were told to want for it
	usual   time.Duration // that its jobs take, where known
	left    time.Time     // when it was last seen to have any
}

// most is by how much a long job can go before those that came earlier.
const most = 10 * time.Minute

func (h *Home) queue(j *job) *queue {
	k := queueKey{j.UID, j.Build, j.Nodes.String(), j.Here != ""}
	if k.here {
		k.wish = ""
	}
	q := h.queues[k]
	if q == nil {
		q = &queue{queueKey: k, share: h.share(shareKey{j.UID, j.Build}), set: h.here}
		if !k.here {
			q.set = h.set(j.Nodes)
		}
		h.queues[k] = q
	}
	return q
}

func (h *Home) share(k shareKey) *share {
	s := h.shares[k]
	if s == nil {
		s = &share{shareKey: k}
		h.shares[k] = s
	}
	return s
}

// enter puts a job among those that wait.
func (h *Home) enter(j *job, now time.Time) {
	q := h.queue(j)
	j.queue = q
	h.jobs[j.ID] = j
	if wall := j.Cost.Wall; wall > 0 {
		if q.usual == 0 {
			q.usual = wall
		}
		q.usual += (wall - q.usual) / 8
	}
	h.rank(j)
	if len(q.jobs) == 0 {
		h.busy = append(h.busy, q)
		q.moved = now
	}
	if j.odd() {
		q.odd++
	}
	j.counted = h.takes(j)
	q.work += j.counted
	j.entered, j.waits = now, true
	q.came = append(q.came, j)
	q.waiting++
	h.waiting++
	j.at = len(q.jobs)
	q.jobs = append(q.jobs, j)
	q.rise(j.at)
}

// rank says whose turn it is by how long jobs have waited, and not by what the clock has said, which may be set.
func (h *Home) rank(j *job) {
	if h.began.IsZero() {
		h.began = j.since
	}
	j.rank = int64(j.since.Sub(h.began) - min(most, h.takes(j)))
	if j.first {
		j.rank -= int64(time.Hour)
	}
}

// takes is how long a job is expected to run on a node of speed 1.
func (h *Home) takes(j *job) time.Duration {
	if j.Cost.Wall > 0 {
		return j.Cost.Wall
	}
	return j.queue.usual
}

func (j *job) odd() bool { return j.strict || len(j.refused) > 0 }

// leave takes a job out of its queue.
func (h *Home) leave(j *job) {
	q := j.queue
	last := len(q.jobs) - 1
	if i := j.at; i != last {
		q.jobs[i] = q.jobs[last]
		q.jobs[i].at = i
		q.jobs = q.jobs[:last]
		q.rise(i)
		q.sink(i)
	} else {
		q.jobs = q.jobs[:last]
	}
	q.jobs[:last+1][last] = nil
	if j.odd() {
		q.odd--
	}
	q.work -= j.counted
	j.waits = false
	q.waiting--
	h.waiting--
	if len(q.jobs) == 0 {
		q.sought, q.wide, q.spent, q.round, q.came = 0, false, false, 0, nil
		i := slices.Index(h.busy, q)
		h.busy = slices.Delete(h.busy, i, i+1)
	}
	if q.waiting == 0 && q.asked {
		h.unask(q.share)
	}
}

func (j *job) before(o *job) bool { return j.rank < o.rank || j.rank == o.rank && j.ID < o.ID }

func (q *queue) rise(i int) {
	for i > 0 {
		up := (i - 1) / 2
		if !q.jobs[i].before(q.jobs[up]) {
			return
		}
		q.swap(i, up)
		i = up
	}
}

func (q *queue) sink(i int) {
	for {
		least := i
		for _, k := range [...]int{2*i + 1, 2*i + 2} {
			if k < len(q.jobs) && q.jobs[k].before(q.jobs[least]) {
				least = k
			}
		}
		if least == i {
			return
		}
		q.swap(i, least)
		i = least
	}
}

func (q *queue) swap(i, k int) {
	q.jobs[i], q.jobs[k] = q.jobs[k], q.jobs[i]
	q.jobs[i].at, q.jobs[k].at = i, k
}

// next is the queue whose turn it is and that has not been tried in this round, nil if there is none.
func (h *Home) next() *queue {
	var best *queue
	for _, q := range h.busy {
		if q.tried != h.round && (best == nil || h.fairer(q, best)) {
			best = q
		}
	}
	return best
}

func (h *Home) fairer(q, than *queue) bool {
	if a, b := h.running[q.queueKey.uid], h.running[than.queueKey.uid]; a != b {
		return a < b
	}
	if q.running != than.running {
		return q.running < than.running
	}
	return q.jobs[0].before(than.jobs[0])
}

// strand keeps jobs here that no node of their wish may have. With this node among them there is always one.
func (h *Home) strand(now time.Time) {
	for i := 0; i < len(h.busy); i++ {
		q := h.busy[i]
		if q.set.mine || q.odd == 0 && h.plain(q, now) {
			continue
		}
		var lone []*job
		for _, j := range q.jobs {
			if !slices.ContainsFunc(q.set.members, func(n *node) bool { return h.open(n, j, now) }) &&
				!slices.ContainsFunc(q.set.pool, func(n *node) bool { return h.open(n, j, now) }) {
				lone = append(lone, j)
			}
		}
		if len(lone) == len(q.jobs) && len(lone) > 0 {
			i-- // it leaves the list
		}
		for _, j := range lone {
			why := h.whyNobody(j, now)
			h.leave(j)
			j.Here = why
			h.enter(j, now)
		}
	}
}

// plain says that there is a node which may have any job of a queue.
func (h *Home) plain(q *queue, now time.Time) bool {
	for _, n := range q.set.members {
		if len(n.refuses) == 0 && (n.Memory == 0 || q.set.largest(n, h)) && h.up(n, now) {
			return true
		}
	}
	return false
}

// whyNobody words why no node may have a job.
func (h *Home) whyNobody(j *job, now time.Time) string {
	if j.last != "" {
		return j.last
	}
	for _, n := range j.queue.set.pool {
		if now.Before(n.until) {
			return fmt.Sprintf("%s: %s", n.Name, n.cause)
		}
	}
	return fmt.Sprintf("no node of NODES=%s is up and takes it", j.Nodes)
}

// forget lets go of queues and shares that have been empty for a while.
func (h *Home) forget(now time.Time) {
	for k, q := range h.queues {
		if len(q.jobs) == 0 && now.Sub(q.moved) > forget {
			delete(h.queues, k)
		} else {
			q.left = now // a share that a queue has must not be made twice, however late this tick comes
		}
	}
	for k, s := range h.shares {
		if s.waiting+s.running > 0 || s.left.IsZero() {
			s.left = now
		} else if now.Sub(s.left) > 2*forget {
			delete(h.shares, k)
		}
	}
}
