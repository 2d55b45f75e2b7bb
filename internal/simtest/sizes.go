package simtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Size is what one job takes: Work is its time on a node of speed 1.
type Size struct {
	Work   time.Duration
	Memory int64
	Kind   string
}

// Sizes are the jobs of a workload: a large sample, from which runs draw. A table and no formula, so that a distribution and a recorded trace
// are the same to all that follows.
type Sizes struct {
	Name  string
	all   []Size
	mean  time.Duration
	sums  []float64                // of the work up to each, for draws by weight
	trace []Line                   // where it is one: in order of time
	usual map[string]time.Duration // what a kind of it takes in the mean
}

const sampled = 1 << 16

func newSizes(name string, all []Size) Sizes {
	s := Sizes{Name: name, all: all}
	sum := 0.0
	for _, z := range all {
		sum += float64(z.Work)
		s.sums = append(s.sums, sum)
	}
	s.mean = time.Duration(sum / float64(len(all)))
	return s
}

// quantiles makes sizes of a distribution's inverse.
func quantiles(name string, inverse func(p float64) float64) Sizes {
	all := make([]Size, sampled)
	for i := range all {
		all[i] = Size{Work: time.Duration(inverse((float64(i)+0.5)/sampled) * float64(time.Second))}
	}
	return newSizes(name, all)
}

// Pareto is the bounded Pareto distribution between lo and hi: many short jobs and a few that are as long as hundreds of them.
func Pareto(alpha float64, lo, hi time.Duration) Sizes {
	l, h := lo.Seconds(), hi.Seconds()
	return quantiles(fmt.Sprintf("bounded Pareto, α %v, %v to %v", alpha, lo, hi), func(p float64) float64 {
		return l / math.Pow(1-p*(1-math.Pow(l/h, alpha)), 1/alpha)
	})
}

// Lognormal has half its jobs below the median.
func Lognormal(median time.Duration, sigma float64) Sizes {
	return quantiles(fmt.Sprintf("lognormal, median %v, σ %v", median, sigma), func(p float64) float64 {
		return median.Seconds() * math.Exp(sigma*math.Sqrt2*math.Erfinv(2*p-1))
	})
}

// with gives each size a memory of its own, between lo and hi.
func (s Sizes) with(lo, hi int64) Sizes {
	r := rand.New(rand.NewPCG(1, 2))
	s.all = slices.Clone(s.all)
	for i := range s.all {
		s.all[i].Memory = lo + r.Int64N(hi-lo)
	}
	return s
}

func (s *Sizes) draw(r *rand.Rand) Size { return s.all[r.IntN(len(s.all))] }

// rest draws what is left of a job that an observer finds running: longer ones are found more often, at a random point of theirs.
// A cluster that begins with such jobs has its load from the first moment, and needs no minutes to fill with long ones.
func (s *Sizes) rest(r *rand.Rand) Size {
	i, _ := slices.BinarySearch(s.sums, r.Float64()*s.sums[len(s.sums)-1])
	z := s.all[min(i, len(s.all)-1)]
	z.Work = time.Duration(r.Float64() * float64(z.Work))
	return z
}
