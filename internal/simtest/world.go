package simtest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"mexec"
)

// world is one run: the clock, the nodes as they truly are, the jobs, and a scheduler that knows of all this what it is told. All schedulers
// meet the same jobs at the same moments, and start them through the same door, begin, which is where the limits are checked.
type world struct {
	clock
	shape  Shape
	seed   uint64
	rnd    *rand.Rand // of the network and the scheduler
	draws  *rand.Rand // of the jobs
	nodes  []*worker
	homes  []*home
	sched  scheduler
	check  check
	judged bool // whether what only ours promises is checked

	split      func(node int) bool // which side a node is on
	splitUntil time.Duration

	jobs     []*job
	coming   int // jobs that are still to be submitted, open loop
	open     int // submitted, and not ended at home
	messages int
	starts   int
	given    int // grants, for schedulers that have them
	replays  int // recorded builds that were submitted
}

// scheduler is what is compared.
type scheduler interface {
	// submit enters jobs that came together at their home.
	submit(jobs []*job)
	// finished says that a job that was begun has ended, at its worker.
	finished(j *job, n *worker)
}

type worker struct {
	id      int
	name    mexec.NodeID
	slots   int
	speed   float64
	memory  int64
	down    bool
	since   time.Duration // when it went down
	running int
	used    int64 // memory
	queue   []*job
	samples [samplesKept]int16 // of running and queued jobs, one a second: what gossip tells
	sampled int
	idle    time.Duration // since when it has had a slot free
	pos     int           // in the heap of idle nodes, -1: full
}

// samplesKept is how old news can be, in seconds.
const samplesKept = 16

type home struct {
	node  int
	users []int
	left  int // jobs of its build that are still to be submitted
}

type job struct {
	Size
	id       mexec.JobID
	home     *home
	user     int
	build    mexec.BuildID
	at       time.Duration // submitted
	begun    time.Duration // at a worker, the last time
	ended    time.Duration // known at home
	ends     int
	node     int32
	placed   int32 // where its home has sent it, -1: it waits
	hurt     bool  // a fault cost it time
	life     int32 // of its run: what was killed does not end
	running  bool
	measured bool
	replay   int // of which recorded build, from 1; 0: of none
}

func newWorld(shape Shape, seed uint64) *world {
	w := &world{
		shape: shape, seed: seed,
		rnd:   rand.New(rand.NewPCG(seed, 1)),
		draws: rand.New(rand.NewPCG(seed, 2)),
	}
	w.check.init(w)
	for i := range shape.Nodes {
		w.nodes = append(w.nodes, &worker{
			id: i, name: mexec.NodeID(fmt.Sprint("n", i+1)), slots: shape.Slots, speed: shape.speed(i), memory: shape.Memory, pos: -1,
		})
		if !w.absent(i) {
			w.check.idles(w.nodes[i])
		}
	}
	for i := range shape.Homes {
		h := &home{node: i * (shape.Nodes / shape.Homes)}
		w.homes = append(w.homes, h)
	}
	for u := range max(shape.users(), shape.Homes) {
		h := w.homes[u%shape.Homes]
		h.users = append(h.users, u%shape.users())
	}
	return w
}

// absent says that a node has not joined yet.
func (w *world) absent(node int) bool {
	return w.shape.Joins > 0 && node >= w.shape.Joins && w.now < w.shape.Warm/2
}

func (w *world) end() time.Duration { return w.shape.Warm + w.shape.Measure }

// filling is how long a run takes to have the load that it is about.
const filling = time.Second

// fill has the jobs submitted.
func (w *world) fill() {
	if w.shape.Load == 0 {
		for _, h := range w.homes {
			h.left = w.shape.Jobs
			w.coming++
			w.at(0, func() {
				w.coming--
				w.next(h, w.shape.Wide)
			})
		}
		return
	}
	// What would be running by now, had the run begun long ago. It comes within a while, and what would have ended by then does not come.
	for range int(w.shape.Load*w.shape.capacity() + 0.5) {
		h := w.homes[w.draws.IntN(len(w.homes))]
		z := w.shape.Sizes.rest(w.draws)
		at := time.Duration(w.draws.Int64N(int64(filling)))
		if z.Work -= at; z.Work > 0 {
			j := w.job(h, z)
			w.at(at, func() { w.enter(j) })
		}
	}
	if w.shape.Sizes.trace != nil {
		w.replay()
		return
	}
	batch := max(1, w.shape.Batch)
	gap := float64(w.shape.Sizes.mean) * float64(batch) / (w.shape.Load * w.shape.capacity())
	w.coming++
	var arrive func()
	arrive = func() {
		w.coming--
		h := w.homes[w.draws.IntN(len(w.homes))]
		user := h.users[w.draws.IntN(len(h.users))]
		jobs := make([]*job, batch)
		for i := range jobs {
			jobs[i] = w.job(h, w.shape.Sizes.draw(w.draws))
			jobs[i].user = user
		}
		w.enter(jobs...)
		if at := w.now + time.Duration(w.draws.ExpFloat64()*gap); at < w.end() {
			w.coming++
			w.at(at, arrive)
		}
	}
	w.at(0, arrive)
}

// replay submits whole builds, as one was recorded: each brings its jobs in their order, at distances that are shortened so that replayWide of them
// run at once. The machine on which it was recorded had two processors, and its build took so much longer.
func (w *world) replay() {
	z := w.shape.Sizes
	gap := z.mean.Seconds() * float64(len(z.all)) / (w.shape.Load * w.shape.capacity())
	long := z.mean.Seconds() * float64(len(z.all)) / replayWide
	scale := long / z.trace[len(z.trace)-1].At.Seconds()
	for at := -long; at < w.end().Seconds(); at += w.draws.ExpFloat64() * gap {
		h := w.homes[w.draws.IntN(len(w.homes))]
		user := h.users[w.draws.IntN(len(h.users))]
		w.replays++
		number := w.replays
		for i, l := range z.trace {
			when := time.Duration((at + l.At.Seconds()*scale) * float64(time.Second))
			if when < 0 || when >= w.end() {
				continue
			}
			w.coming++
			w.at(when, func() {
				w.coming--
				j := w.job(h, z.all[i])
				j.user, j.replay = user, number
				w.enter(j)
			})
		}
	}
}

const replayWide = 8

func (w *world) job(h *home, z Size) *job {
	return &job{Size: z, home: h, user: h.users[0], id: mexec.JobID(len(w.jobs) + 1), node: -1, placed: -1}
}

// enter submits jobs of one home that come together.
func (w *world) enter(jobs ...*job) {
	for _, j := range jobs {
		j.at = w.now
		j.id = mexec.JobID(len(w.jobs) + 1)
		j.build = mexec.BuildID(fmt.Sprint("b", j.home.node, ".", j.user))
		if j.replay > 0 {
			j.build = mexec.BuildID(fmt.Sprint("r", j.replay))
		}
		j.measured = w.now >= w.shape.Warm && w.now < w.end()
		w.jobs = append(w.jobs, j)
		w.open++
		w.check.waits[j.user]++
	}
	w.sched.submit(jobs)
}

// next submits more of a home's build.
func (w *world) next(h *home, n int) {
	var jobs []*job
	for ; n > 0 && h.left > 0; n-- {
		h.left--
		j := w.job(h, w.shape.Sizes.draw(w.draws))
		j.user = h.users[h.left%len(h.users)]
		if w.shape.Long > 0 && j.user%2 == 1 {
			j.Work *= time.Duration(w.shape.Long)
		}
		jobs = append(jobs, j)
	}
	if len(jobs) > 0 {
		w.enter(jobs...)
	}
}

// begin runs a job on a node: the one door through which jobs of all schedulers go.
func (w *world) begin(j *job, n *worker) {
	w.starts++
	w.check.begins(j, n)
	n.running++
	n.used += j.Memory
	j.running, j.node, j.begun = true, int32(n.id), w.now
	j.life++
	life := j.life
	w.after(time.Duration(float64(j.Work)/w.pace(n)), func() {
		if j.life == life && j.running {
			w.stop(j, n)
			w.sched.finished(j, n)
		}
	})
}

// stop takes a job off its node, ended or killed.
func (w *world) stop(j *job, n *worker) {
	j.running = false
	w.check.stops(j, n)
	n.running--
	n.used -= j.Memory
	w.check.idles(n)
}

// pace is how fast a node is now.
func (w *world) pace(n *worker) float64 {
	for _, f := range w.shape.Faults {
		if f.Kind == slow && w.now >= f.At && w.now < f.At+f.For && n.id >= w.shape.Nodes-f.Nodes {
			return n.speed / 10
		}
	}
	return n.speed
}

// done says that a job's home knows of its end.
func (w *world) done(j *job) {
	j.ends++
	w.check.ends(j)
	j.ended = w.now
	w.open--
	if j.home.left > 0 {
		w.next(j.home, 1)
	}
}

// sample takes down what gossip will tell of all nodes; once a second.
func (w *world) sample() {
	for _, n := range w.nodes {
		n.samples[n.sampled%samplesKept] = int16(n.running + len(n.queue))
		n.sampled++
	}
}

// gossip is what a home hears of a node now: how many jobs it had, and how long ago. The age grows with the size of the cluster, as docs/gossip.md
// has measured it for the window of 40 entries.
func (w *world) gossip(n *worker) (jobs int, taken time.Duration) {
	age := int(w.rnd.Float64() * log2(w.shape.Nodes))
	age = min(age, n.sampled-1, samplesKept-1)
	if age < 0 {
		return 0, 0
	}
	return int(n.samples[(n.sampled-1-age)%samplesKept]), time.Duration(n.sampled-1-age) * time.Second
}

func log2(n int) float64 {
	l := 0.0
	for ; n > 1; n /= 2 {
		l++
	}
	return l
}
