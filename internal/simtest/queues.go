package simtest

import "time"

// queues are the schedulers that send a job to a worker at once, where it waits in the order of arrival for a slot. They differ in how the worker
// is chosen.
type queues struct {
	w    *world
	pick func(j *job, send func(n *worker))
}

func (q *queues) submit(jobs []*job) {
	for _, j := range jobs {
		q.pick(j, func(n *worker) {
			q.w.send(j.home.node, n.id, func() {
				n.queue = append(n.queue, j)
				q.serve(n)
			})
		})
	}
}

func (q *queues) serve(n *worker) {
	for n.running < n.slots && len(n.queue) > 0 {
		j := n.queue[0]
		n.queue = n.queue[1:]
		q.w.begin(j, n)
	}
}

func (q *queues) finished(j *job, n *worker) {
	q.w.send(n.id, j.home.node, func() { q.w.done(j) })
	q.serve(n)
}

// newRandom sends a job to any node.
func newRandom(w *world) scheduler {
	return &queues{w, func(j *job, send func(*worker)) { send(w.nodes[w.rnd.IntN(len(w.nodes))]) }}
}

// newRoundRobin has each home go round all nodes, from a place of its own.
func newRoundRobin(w *world) scheduler {
	next := map[*home]int{}
	for _, h := range w.homes {
		next[h] = w.rnd.IntN(len(w.nodes))
	}
	return &queues{w, func(j *job, send func(*worker)) {
		next[j.home]++
		send(w.nodes[next[j.home]%len(w.nodes)])
	}}
}

// newTwoChoices asks two nodes how many jobs they have, and sends the job to the one that has fewer.
func newTwoChoices(w *world) scheduler {
	return &queues{w, func(j *job, send func(*worker)) {
		var best *worker
		var least float64
		answers := 0
		for range 2 {
			n := w.nodes[w.rnd.IntN(len(w.nodes))]
			w.send(j.home.node, n.id, func() {
				load := n.load()
				w.send(n.id, j.home.node, func() {
					answers++
					if best == nil || load < least {
						best, least = n, load
					}
					if answers == 2 {
						send(best)
					}
				})
			})
		}
	}}
}

func (n *worker) load() float64 { return float64(n.running+len(n.queue)) / float64(n.slots) / n.speed }

// news is what one home has heard of the others' loads.
type news struct {
	jobs  []int16
	taken []time.Duration
	sent  [][]time.Duration // jobs that it sent to each, since that was taken
}

// newsEntries is how many loads a home hears of in a second.
const newsEntries = 40

func (w *world) listen(h *home) *news {
	s := &news{make([]int16, len(w.nodes)), make([]time.Duration, len(w.nodes)), make([][]time.Duration, len(w.nodes))}
	w.every(time.Duration(w.rnd.Int64N(int64(time.Second))), time.Second, func() {
		for range newsEntries {
			n := w.nodes[w.rnd.IntN(len(w.nodes))]
			jobs, taken := w.gossip(n)
			if taken < s.taken[n.id] {
				continue
			}
			s.jobs[n.id], s.taken[n.id] = int16(jobs), taken
			for len(s.sent[n.id]) > 0 && s.sent[n.id][0] <= taken {
				s.sent[n.id] = s.sent[n.id][1:]
			}
		}
	})
	return s
}

// least is the node with the least load, as far as the home knows; any of those that are equal.
func (s *news) least(w *world, sent bool) *worker {
	first := w.rnd.IntN(len(w.nodes))
	best, least := -1, 0.0
	for i := range s.jobs {
		k := (first + i) % len(s.jobs)
		load := int(s.jobs[k])
		if sent {
			load += len(s.sent[k])
		}
		if l := float64(load) / w.nodes[k].speed; best < 0 || l < least {
			best, least = k, l
			if load == 0 && w.nodes[k].speed == 1 {
				break
			}
		}
	}
	return w.nodes[best]
}

// newLeastLoaded sends a job where gossip had the least load.
func newLeastLoaded(w *world) scheduler {
	heard := map[*home]*news{}
	for _, h := range w.homes {
		heard[h] = w.listen(h)
	}
	return &queues{w, func(j *job, send func(*worker)) { send(heard[j.home].least(w, false)) }}
}

// newDirectory is the original's way: as above, but what a home has just sent is in a directory of its own, and counts as load until news that
// are younger tell of it.
func newDirectory(w *world) scheduler {
	heard := map[*home]*news{}
	for _, h := range w.homes {
		heard[h] = w.listen(h)
	}
	return &queues{w, func(j *job, send func(*worker)) {
		s := heard[j.home]
		n := s.least(w, true)
		s.sent[n.id] = append(s.sent[n.id], w.now)
		send(n)
	}}
}
