package journal

import (
	"math/rand/v2"
	"testing"
	"time"

	"mexec"
)

func seconds(n float64) mexec.Usage {
	return mexec.Usage{User: time.Duration(n * float64(time.Second)), System: time.Duration(n * float64(time.Second) / 2)}
}

func (tr *tree) wants(t *testing.T, pid, by int, all, own float64) {
	t.Helper()
	if got := tr.ended(pid, by, seconds(all)); got != seconds(own) {
		t.Errorf("%d has used %v of %v, not %v", pid, got, seconds(all), seconds(own))
	}
}

// 10 is make, 20 a line's shell, 21 its copy, 22 a nested make.
func TestOfANestedMakeOnlyItsOwnPartCounts(t *testing.T) {
	tr := newTree()
	tr.begun(10, []int{1})
	tr.begun(22, []int{21, 20, 10, 1})
	tr.wants(t, 30, 22, 5, 5)
	tr.wants(t, 31, 22, 7, 7)
	tr.wants(t, 40, 10, 3, 3)
	tr.wants(t, 20, 10, 13, 1)
	tr.wants(t, 10, 1, 18, 2)
}

func TestAProcessNumberThatIsUsedAgainHasNoPast(t *testing.T) {
	tr := newTree()
	tr.begun(10, []int{1})
	tr.begun(22, []int{21, 20, 10, 1})
	tr.wants(t, 30, 22, 5, 5)
	tr.wants(t, 20, 10, 6, 1)
	for _, pid := range []int{20, 21, 22, 30} {
		tr.wants(t, pid, 10, 2, 2)
	}
	tr.forked(50, 10)
	tr.wants(t, 60, 50, 1, 1)
	tr.forked(50, 10) // nobody we know has waited for the first
	tr.wants(t, 50, 10, 1, 1)
	if len(tr.up) > 1 || len(tr.told) > 2 {
		t.Errorf("%v and %v are left", tr.up, tr.told)
	}
}

func TestAWayThatGoesRoundEnds(t *testing.T) {
	tr := newTree()
	tr.begun(2, []int{3, 2, 3})
	tr.wants(t, 9, 3, 1, 1)
	tr.ended(3, 2, seconds(1))
}

// The twin knows what each process has used itself: what is told of one must be that, and what those below it have used who were not told of.
func TestOfAnyTreeEachPartIsToldOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		type process struct {
			parent, alive int // children that have not ended
			driver        bool
			all, untold   float64
		}
		// Numbers are places in the list. 0 is mpmake, whose child the tool 1 is.
		tr, ps, sum := newTree(), []process{{driver: true}}, 0.0
		for pid := 1; pid < 2+rng.IntN(30); pid++ {
			p := process{driver: pid == 1 || rng.IntN(2) == 0, all: float64(rng.IntN(100))}
			if pid > 1 {
				p.parent = 1 + rng.IntN(pid-1)
			}
			p.untold = p.all
			sum += p.all
			ps[p.parent].alive++
			ps = append(ps, p)
			if !p.driver {
				continue
			}
			var above []int
			for at := p.parent; ; at = ps[at].parent {
				above = append(above, at)
				if at == 0 {
					break
				}
			}
			if ps[p.parent].driver && rng.IntN(2) == 0 {
				tr.forked(pid, p.parent)
			} else {
				tr.begun(pid, above)
			}
		}
		for ended := map[int]bool{}; len(ended) < len(ps)-1; {
			pid := 1 + rng.IntN(len(ps)-1)
			p := ps[pid]
			if p.alive > 0 || ended[pid] {
				continue
			}
			ended[pid] = true
			above := &ps[p.parent]
			above.alive--
			above.all += p.all
			if !above.driver {
				above.untold += p.untold
				continue
			}
			tr.wants(t, pid, p.parent, p.all, p.untold)
			sum -= p.untold
		}
		if sum != 0 || len(tr.up) > 0 || len(tr.kids) > 0 || len(tr.told) > 1 {
			t.Fatalf("%v s are told of nowhere, or twice; %v and %v are left", sum, tr.up, tr.told)
		}
	}
}
