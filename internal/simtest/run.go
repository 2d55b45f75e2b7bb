package simtest

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Schedulers are what is compared, the ideal first and ours last. Beside them there is "equal", the ideal of those that must be fair.
var Schedulers = []string{"omniscient", "random", "round robin", "least loaded", "just sent", "two choices", "sparrow", "ours"}

var makers = map[string]func(*world) scheduler{
	"omniscient":   newOmniscient,
	"equal":        newEqual,
	"random":       newRandom,
	"round robin":  newRoundRobin,
	"least loaded": newLeastLoaded,
	"just sent":    newDirectory,
	"two choices":  newTwoChoices,
	"sparrow":      newSparrow,
	"ours":         newOurs,
}

// Result is what came of a run.
type Result struct {
	Shape     Shape
	Scheduler string
	Seed      uint64

	Jobs      int // measured ones
	Responses []time.Duration
	Waits     []time.Duration // from submission to the begin
	Lost      []float32       // see check; seconds
	Most      time.Duration   // of Lost, over all jobs
	Jain      []float64       // in each window of fairWindow, of saturated runs
	Builds    []time.Duration // of recorded builds that were submitted as a whole: from the first submission to the last end
	Least     float64         // part of his due that any user had in any fairWindow
	Span      time.Duration   // from the first submission to the last end
	Messages  float64         // for each job
	Unused    float64         // grants that were not used, a share
	Used      float64         // share of the slots' time that ran jobs while it was measured
	Problems  []string
	Took      time.Duration // on the machine that simulated it
}

// fairWindow is over how long users have to be served alike.
const fairWindow = 10 * time.Second

// hardEnd is how long a run may go on after its last submission: what has not ended by then never will.
const hardEnd = 30 * time.Minute

// Run simulates one shape with one scheduler.
func Run(shape Shape, scheduler string, seed uint64) *Result {
	began := time.Now()
	if shape.Net == (Network{}) {
		shape.Net = LAN
	}
	w := newWorld(shape, seed)
	w.sched = makers[scheduler](w)
	w.judged = scheduler == "ours"
	w.every(0, time.Second, w.sample)
	w.fill()
	w.break_()
	r := &Result{Shape: shape, Scheduler: scheduler, Seed: seed}

	if shape.Load == 0 {
		var before []time.Duration
		w.at(shape.Warm, func() { _, before = w.check.fair(w.check.busy) })
		w.every(shape.Warm+fairWindow, fairWindow, func() {
			var index float64
			index, before = w.check.fair(before)
			for _, h := range w.homes {
				if h.left == 0 {
					return // no longer saturated
				}
			}
			r.Jain = append(r.Jain, index)
		})
	}
	r.Least = 1
	if window := min(fairWindow, shape.Measure); window > 0 {
		w.every(shape.Warm, tick, func() {
			if w.now < w.end() {
				w.check.sample(float64(shape.Nodes * shape.Slots))
			}
		})
		w.every(shape.Warm+window, window, func() { r.Least = min(r.Least, w.check.least()) })
	}
	var from, to time.Duration
	total := func() (sum time.Duration) {
		w.check.fair(w.check.busy)
		for _, b := range w.check.busy {
			sum += b
		}
		return sum
	}
	w.at(shape.Warm, func() { from = total() })
	w.at(w.end(), func() { to = total() })
	w.run(w.end()+hardEnd, func() bool { return w.now >= w.end() && w.coming == 0 && w.open == 0 })

	for _, j := range w.jobs {
		r.Span = max(r.Span, j.ended)
		if j.measured {
			r.Jobs++
			r.Responses = append(r.Responses, j.ended-j.at)
			r.Waits = append(r.Waits, j.begun-j.at)
		}
	}
	r.Builds = w.builds()
	slices.Sort(r.Responses)
	slices.Sort(r.Waits)
	slices.Sort(w.check.lost)
	r.Lost, r.Most = w.check.lost, w.check.most
	r.Messages = float64(w.messages) / float64(len(w.jobs))
	if w.given > 0 {
		r.Unused = 1 - float64(w.starts)/float64(w.given)
	}
	if shape.Measure > 0 {
		r.Used = (to - from).Seconds() / shape.Measure.Seconds() / float64(shape.Nodes*shape.Slots)
	}
	w.check.judge(r)
	r.Problems = w.check.problems
	r.Took = time.Since(began)
	return r
}

// builds are how long the recorded builds took of which all jobs were submitted while it was measured, or after that.
func (w *world) builds() (took []time.Duration) {
	type span struct {
		jobs     int
		from, to time.Duration
	}
	spans := make([]span, w.replays+1)
	for _, j := range w.jobs {
		s := &spans[j.replay]
		if s.jobs++; s.jobs == 1 {
			s.from = j.at
		}
		s.to = max(s.to, j.ended)
	}
	for _, s := range spans[1:] {
		if s.jobs == len(w.shape.Sizes.trace) && s.from >= w.shape.Warm {
			took = append(took, s.to-s.from)
		}
	}
	slices.Sort(took)
	return took
}

// quantile of what is sorted.
func quantile[T any](sorted []T, p float64) T {
	var zero T
	if len(sorted) == 0 {
		return zero
	}
	return sorted[min(len(sorted)-1, int(math.Ceil(p*float64(len(sorted)))-1))]
}

func mean(all []time.Duration) time.Duration {
	sum := 0.0
	for _, d := range all {
		sum += float64(d)
	}
	return time.Duration(sum / float64(max(1, len(all))))
}

func (r *Result) String() string {
	return fmt.Sprintf("%-12s p50 %v p99 %v wait mean %v p99 %v, lost p99 %.1f p99.9 %.1f most %v ms, %.2f messages, %.1f %% unused, used %.3f, %d jobs, span %v, jain %.4f, least %.3f, builds %d p50 %v p99 %v, took %v %v",
		r.Scheduler, quantile(r.Responses, .5), quantile(r.Responses, .99), mean(r.Waits), quantile(r.Waits, .99),
		1e3*quantile(r.Lost, .99), 1e3*quantile(r.Lost, .999), r.Most, r.Messages, 100*r.Unused, r.Used, r.Jobs, r.Span, r.Jain, r.Least, len(r.Builds), quantile(r.Builds, .5), quantile(r.Builds, .99), r.Took.Round(time.Millisecond), r.Problems)
}
