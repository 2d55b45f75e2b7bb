package place

import (
	"time"

	"mexec"
)

// A job straggles that takes far longer on its node than it is known to take, or is on a node that is so much slower than another, when nothing else waits and another node
// could begin it at once: the end of a build waits for it, and it is not the job that is slow. What is overdue is taken to last as long again; to begin anew must win as much as it takes.

const (
	manyRuns = 3 // that a kind must have been learned from
	patience = 3 // times what is expected
	settled  = time.Second
)

// Straggles says whether a job should be ended where it runs and begun again elsewhere, as far as that goes by time.
func (h *Home) Straggles(id mexec.JobID, now time.Time) bool {
	j := h.jobs[id]
	if j == nil || j.node == nil || j.node == h.me || h.waiting > 0 || j.Cost.Runs < manyRuns {
		return false
	}
	expected := h.expected(j.node, j)
	left := (expected - now.Sub(j.started)).Abs()
	if expected == 0 || left <= settled {
		return false
	}
	for _, n := range j.queue.set.members {
		anew := time.Duration(float64(j.Cost.Wall)/n.speed()) + hop
		if left > (patience-1)*anew+settled && n != j.node && n.ill == "" && j.queue.at(n, h) && h.open(n, j, now) && len(n.idle)+n.free() > 0 {
			return true
		}
	}
	return false
}
