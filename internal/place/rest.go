package place

import (
	"fmt"
	"math"
	"time"

	"mexec"
)

// A node whose jobs do not start, or take far longer than they should, is left to rest: it gets nothing that another node may have. Each time it is for longer.
// Then it gets one job at a time until one has gone well.
//
// How long a job should take is what its kind has taken, at the speed of the node. What is far from that on all nodes is no node's fault, so they are
// compared with each other. Where all nodes of a set are ill, none rests.

const (
	several  = 3 // jobs in a row that do not start make a node ill
	drowsy   = 5 // jobs in a row that take too long do: what is known of a kind may be little
	sluggish = 4 // times as long as elsewhere is too long
	longRest = time.Minute
)

// noise is what any job may take longer for no reason.
const noise = 250 * time.Millisecond

// health is how jobs have fared on a node.
type health struct {
	unstarted int     // jobs in a row that did not start
	broken    int     // links in a row that broke under jobs
	slow      int     // jobs in a row that took far too long
	times     float64 // how many times too long
	ill       string  // why it rests; empty: it is well
	rested    time.Time
	rests     int     // not long after each other
	lag       float64 // how much longer than expected its jobs take, as a logarithm: the mean of
	judged    int     // so many jobs, or of the last ones
}

// lags is the sum over the nodes that are well.
type lags struct {
	sum   float64
	nodes int
}

// without forgets the lag of a node.
func (l *lags) without(n *node) {
	if n.judged > 0 {
		l.sum -= n.lag
		l.nodes--
		n.lag, n.judged = 0, 0
	}
}

// elsewhere is the lag of the others.
func (l *lags) elsewhere(n *node) float64 {
	sum, nodes := l.sum, l.nodes
	if n.judged > 0 {
		sum -= n.lag
		nodes--
	}
	return sum / float64(max(1, nodes))
}

func (l *lags) add(n *node, log float64) {
	if n.ill != "" {
		return
	}
	if n.judged == 0 {
		l.nodes++
	}
	n.judged = min(n.judged+1, 16)
	by := (log - n.lag) / float64(n.judged)
	n.lag += by
	l.sum += by
}

// Runs says that a job has started where it was sent.
func (h *Home) Runs(id mexec.JobID) {
	if j := h.jobs[id]; j != nil && j.node != nil {
		n := j.node
		if n.unstarted = 0; n.ill != "" && n.slow == 0 && n.broken < several {
			h.recover(n)
		}
	}
}

// failed notes that a node did not start a job.
func (h *Home) failed(n *node, why string, now time.Time) {
	if n.unstarted++; n.unstarted >= several || n.ill != "" {
		h.rest(n, fmt.Sprintf("%d jobs in a row failed to start%s", n.unstarted, why), now)
	}
}

// broke notes that a node's link broke under jobs.
func (h *Home) broke(n *node, why string, now time.Time) {
	if n.broken++; n.broken >= several || n.ill != "" {
		h.rest(n, fmt.Sprintf("its link broke %d times under jobs: %s", n.broken, why), now)
	}
}

// fared notes how long a job has taken.
func (h *Home) fared(j *job, now time.Time) {
	n := j.node
	if n != h.me && (!n.linked || j.started.Before(n.reset)) {
		return // it was lost
	}
	n.broken = 0
	if j.Cost.Wall == 0 { // whoever can't be judged is believed
		if n.ill != "" && !now.Before(n.rested) {
			n.slow = 0
			h.recover(n)
		}
		return
	}
	took, expected := max(hop, now.Sub(j.started)), max(hop, time.Duration(float64(j.Cost.Wall)/n.speed()))
	if took < expected/sluggish {
		return // it failed, or was killed
	}
	log := max(0, math.Log(float64(took)/float64(expected)))
	late := log - h.lags.elsewhere(n)
	h.lags.add(n, log)
	switch {
	case n == h.me:
	case late < math.Log(sluggish) || took-expected < noise:
		n.slow, n.times = 0, 0
		if n.ill != "" {
			h.recover(n)
		}
	default:
		n.slow++
		n.times += (math.Exp(late) - n.times) / float64(min(n.slow, drowsy))
		if n.slow >= drowsy || n.ill != "" {
			h.rest(n, fmt.Sprintf("slow: jobs take %.0f times as long as elsewhere", n.times), now)
		}
	}
}

// rest leaves a node alone for a while. What it runs goes on.
func (h *Home) rest(n *node, why string, now time.Time) {
	if n == h.me {
		return
	}
	h.lags.without(n)
	if n.ill = why; now.Before(n.rested) {
		return // of what was sent before
	}
	if now.Sub(n.rested) > longRest {
		n.rests = 0
	}
	n.rested = now.Add(min(time.Second<<min(n.rests, 6), longRest))
	n.rests++
	h.epoch++
	h.giveBack(n, func(idleGrant) bool { return true })
	for i := range n.stakes {
		if s := &n.stakes[i]; s.told > s.running {
			h.tell(n, s, s.running, s.memory)
		}
	}
}

func (h *Home) recover(n *node) {
	n.ill = ""
	h.epoch++
}

// spares says whether a node is spared the jobs of a set: it rests, or has its one job.
func (h *Home) spares(n *node, s *set, now time.Time) bool {
	return n.ill != "" && (now.Before(n.rested) || len(n.jobs) > 0) && h.healthy(s, now)
}

// healthy says whether some node of a set is well.
func (h *Home) healthy(s *set, now time.Time) bool {
	if s.examined != h.epoch {
		s.examined, s.healthy = h.epoch, false
		for _, n := range s.members {
			if n.ill == "" && n.Slots > 0 && h.up(n, now) {
				s.healthy = true
				break
			}
		}
	}
	return s.healthy
}

// words say why a node is left alone, and for how long.
func (n *node) words(now time.Time) string {
	then := "gets one job at a time"
	if left := n.rested.Sub(now); left > 0 {
		then = fmt.Sprintf("asked again in %d s", int(math.Ceil(left.Seconds())))
	}
	return n.ill + "; " + then
}
