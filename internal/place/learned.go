package place

import (
	"time"

	"mexec"
)

// Learned says anew what a job that waits is expected to take: one like it has ended since it came. Where a hundred are given at once of which nobody knows
// anything, all but the first have waited for this. One that does not wait stays as it is.
func (h *Home) Learned(id mexec.JobID, cost mexec.Cost, now time.Time) {
	j := h.jobs[id]
	if j == nil || j.node != nil {
		return
	}
	j.Cost = cost
	h.rank(j)
	q := j.queue
	q.rise(j.at)
	q.sink(j.at)
	if q.jobs[0] != j {
		return
	}
	// What is wanted of nodes comes with the memory of who is next.
	for _, n := range h.active {
		s, memory := n.find(q.share), j.Need()
		if n.Memory > 0 {
			memory = min(memory, n.Memory)
		}
		if s != nil && s.told > 0 && s.memory != memory {
			h.tell(n, s, s.told, memory)
		}
	}
	h.settle(now)
}
