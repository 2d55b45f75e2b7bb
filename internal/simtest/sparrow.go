package simtest

// sparrow is batch sampling with late binding (Ousterhout and others, SOSP 2013): for m jobs that come together 2m reservations go to random
// workers, where they queue. A worker that has a slot free for the first of its queue asks that home, which answers with a job of the batch,
// or that all have been given out. The slot stays idle meanwhile: that is the price, and it avoids guessing how long queues will take.
type sparrow struct {
	w     *world
	queue [][]*batch // of each worker
	held  []int      // slots of each worker that wait for an answer
}

type batch struct {
	home *home
	jobs []*job
}

const sparrowProbes = 2

func newSparrow(w *world) scheduler {
	return &sparrow{w, make([][]*batch, len(w.nodes)), make([]int, len(w.nodes))}
}

func (s *sparrow) submit(jobs []*job) {
	b := &batch{jobs[0].home, jobs}
	probes := sparrowProbes * len(jobs)
	asked := map[int]bool{}
	for range probes {
		k := s.w.rnd.IntN(len(s.w.nodes))
		for asked[k] && len(asked) < len(s.w.nodes) { // of different workers, as long as there are any
			k = s.w.rnd.IntN(len(s.w.nodes))
		}
		asked[k] = true
		s.w.send(b.home.node, k, func() {
			s.queue[k] = append(s.queue[k], b)
			s.serve(s.w.nodes[k])
		})
	}
}

func (s *sparrow) serve(n *worker) {
	k := n.id
	for n.running+s.held[k] < n.slots && len(s.queue[k]) > 0 {
		b := s.queue[k][0]
		s.queue[k] = s.queue[k][1:]
		s.held[k]++
		s.w.send(k, b.home.node, func() {
			var j *job
			if len(b.jobs) > 0 {
				j, b.jobs = b.jobs[0], b.jobs[1:]
			}
			s.w.send(b.home.node, k, func() {
				s.held[k]--
				if j != nil {
					s.w.begin(j, n)
				}
				s.serve(n)
			})
		})
	}
}

func (s *sparrow) finished(j *job, n *worker) {
	s.w.send(n.id, j.home.node, func() { s.w.done(j) })
	s.serve(n)
}
