package bound

import (
	"math/rand/v2"
	"testing"
	"time"
)

const s = time.Second

func hosts(speeds ...float64) (hs []Host) {
	for _, speed := range speeds {
		hs = append(hs, Host{speed, 1})
	}
	return hs
}

func TestSmallGraphsTakeWhatCanBeSeenByEye(t *testing.T) {
	chain := []Task{{"a", s, nil}, {"b", s, []int{0}}, {"c", s, []int{1}}}
	free := []Task{{"a", s, nil}, {"b", s, nil}, {"c", s, nil}, {"d", s, nil}}
	long := []Task{{"a", s, nil}, {"b", s, nil}, {"long", 2 * s, nil}} // in make's order the long one is last
	diamond := []Task{{"top", s, nil}, {"left", 2 * s, []int{0}}, {"right", s, []int{0}}, {"bottom", s, []int{1, 2}}}
	for name, c := range map[string]struct {
		tasks []Task
		hosts []Host
		want  time.Duration
	}{
		"nothing":                             {nil, hosts(1), 0},
		"one task":                            {chain[:1], hosts(1), s},
		"a slow host":                         {chain[:1], hosts(0.2), 5 * s},
		"a chain gains nothing from hosts":    {chain, hosts(1, 1, 1), 3 * s},
		"free tasks fill the hosts":           {free, hosts(1, 1), 2 * s},
		"the longest goes first":              {long, hosts(1, 1), 2 * s},
		"a diamond":                           {diamond, hosts(1, 1), 4 * s},
		"no task gets more than a CPU":        {chain, []Host{{8, 8}}, 3 * s},
		"slots share a host":                  {free, []Host{{2, 4}}, 2 * s},
		"a slow host takes what fits":         {free, hosts(1, 0.25), 4 * s},
		"no task waits on a slow host for it": {chain, hosts(1, 0.25), 3 * s},
	} {
		if got := Schedule(c.tasks, c.hosts); (got - c.want).Abs() > time.Millisecond {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestNoScheduleBeatsTheLongestPathOrTheWork(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var tasks []Task
		for i := range 1 + r.IntN(60) {
			task := Task{CPU: time.Duration(1 + r.Int64N(int64(s)))}
			for range min(i, r.IntN(3)) {
				task.After = append(task.After, r.IntN(i))
			}
			tasks = append(tasks, task)
		}
		n := 1 + r.IntN(8)
		hs := make([]Host, n)
		for i := range hs {
			hs[i] = Host{0.2, 1}
		}
		got := Schedule(tasks, hs).Seconds()
		path, work := Path(tasks).Seconds()/0.2, Work(tasks).Seconds()/0.2/float64(n)
		if got < max(path, work)-1e-6 || got > path+work+1e-6 {
			t.Errorf("seed %d: %.3f s, the path is %.3f s and the work %.3f s", seed, got, path, work)
		}
	}
}
