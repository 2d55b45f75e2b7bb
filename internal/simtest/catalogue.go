package simtest

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"time"
)

//go:embed testdata/build.trace
var recorded []byte

// The workloads. Heavy is the main one: half of its jobs take less than a fifth of a second, and 1 % of them half of all time.
var (
	Heavy = Pareto(1.1, 100*time.Millisecond, 30*time.Second)
	Even  = Lognormal(300*time.Millisecond, 0.8)
	Real  = func() Sizes {
		lines, err := ReadTrace(bytes.NewReader(recorded))
		if err != nil {
			panic(err) // it is part of the program
		}
		return Traced("recorded build", lines)
	}()
)

// Section is one table of the report: some shapes, each by some schedulers.
type Section struct {
	Name       string
	Shapes     []Shape
	Schedulers []string
	Seeds      func(Shape) int
}

var (
	pair   = []string{"omniscient", "ours"}
	ideals = slices.Insert(slices.Clone(Schedulers), 1, "equal")
)

// few seeds where a run is large: it holds as many jobs.
func few(s Shape) int {
	if s.Nodes >= 1000 {
		return 1
	}
	return 2
}

func one(Shape) int { return 1 }

// several where there are few builds, each of many jobs: what one draw of them asks for may be far from the load that was meant.
func several(s Shape) int {
	if s.Nodes >= 1000 {
		return 1
	}
	return 5
}

func loaded(name string, nodes, homes int, load float64, sizes Sizes) Shape {
	s := Shape{
		Name:  fmt.Sprintf("%s-%d-%d-%.0f", name, nodes, homes, 100*load),
		Nodes: nodes, Slots: 4, Homes: homes, Sizes: sizes, Load: load, Warm: 2 * time.Second, Measure: 20 * time.Second,
	}
	switch {
	case nodes >= 10000:
		s.Warm, s.Measure = 1200*time.Millisecond, 1300*time.Millisecond
	case nodes >= 1000:
		s.Measure = 5 * time.Second
	}
	return s
}

// Catalogue is what make sim runs.
func Catalogue() []Section {
	var response, homes, other, small, mixed, faults, fair, sweep []Shape
	loads := []float64{0.80, 0.95}
	for _, load := range loads {
		response = append(response, loaded("heavy", 100, 10, load, Heavy), loaded("heavy", 1000, 100, load, Heavy), loaded("heavy", 10000, 100, load, Heavy))
		homes = append(homes, loaded("heavy", 100, 1, load, Heavy), loaded("heavy", 100, 100, load, Heavy))
		homes = append(homes, loaded("heavy", 1000, 1, load, Heavy), loaded("heavy", 1000, 10, load, Heavy), loaded("heavy", 10000, 1, load, Heavy))
	}
	homes = append(homes, loaded("heavy", 1000, 1000, 0.95, Heavy), loaded("heavy", 10000, 10, 0.95, Heavy), loaded("heavy", 10000, 1000, 0.95, Heavy))
	for _, n := range []int{2, 4, 10, 32} {
		for _, load := range loads {
			s := loaded("heavy", n, max(1, n/4), load, Heavy)
			s.Measure = 60 * time.Second
			small = append(small, s)
		}
	}
	for _, load := range loads {
		batch := loaded("batches", 1000, 100, load, Heavy)
		batch.Batch = 20
		other = append(other, batch, loaded("even", 1000, 100, load, Even), loaded("trace", 100, 10, load, Real), loaded("trace", 1000, 100, load, Real))
		known := loaded("known", 100, 10, load, Real)
		known.Known = true
		other = append(other, known)
		for _, n := range []int{100, 1000} {
			s := loaded("quarter", n, n/10, load, Heavy)
			s.Slow, s.Known = 4, true
			mixed = append(mixed, s)
		}
	}
	for _, n := range []int{100, 1000} {
		for _, f := range []Fault{
			{Kind: crash, Nodes: n / 10 / 2, For: time.Second}, {Kind: crash, Nodes: n / 10 / 2, For: 8 * time.Second},
			{Kind: partition, Nodes: n / 2, For: 2 * time.Second}, {Kind: partition, Nodes: n / 2, For: 8 * time.Second},
			{Kind: slow, Nodes: n / 4, For: 8 * time.Second},
		} {
			s := loaded(fmt.Sprint(f.Kind, "-", f.For.Seconds()), n, n/10, 0.8, Heavy)
			if f.Kind == crash { // of nodes that are no homes
				s.Faults = []Fault{{At: 5 * time.Second, For: f.For, Kind: f.Kind, Nodes: min(f.Nodes, n/s.Homes-1)}}
			} else {
				s.Faults = []Fault{{At: 5 * time.Second, For: f.For, Kind: f.Kind, Nodes: f.Nodes}}
			}
			s.Measure = 40 * time.Second
			if n >= 1000 {
				s.Measure = 15 * time.Second
			}
			faults = append(faults, s)
		}
		s := loaded("joins", n, n/10, 0.5, Heavy)
		s.Joins, s.Warm, s.Measure = n*3/4, 4*time.Second, 20*time.Second
		faults = append(faults, s)
	}
	for _, f := range []struct{ nodes, homes, users int }{{10, 2, 2}, {100, 10, 10}, {100, 50, 10}, {100, 10, 2}, {1000, 100, 100}, {1000, 200, 20}} {
		s := Shape{
			Name: fmt.Sprintf("builds-%d-%d-%d", f.nodes, f.homes, f.users), Nodes: f.nodes, Slots: 4, Homes: f.homes, Users: f.users,
			Sizes: Even, Wide: 4 * f.nodes * 4 / f.homes,
		}
		s.Jobs = int(25 * s.capacity() / s.Sizes.mean.Seconds() / float64(f.homes))
		fair = append(fair, s)
	}
	for _, f := range []struct{ homes, users int }{{3, 3}, {10, 10}, {50, 10}} {
		s := Shape{
			Name: fmt.Sprintf("lengths-100-%d-%d", f.homes, f.users), Nodes: 100, Slots: 4, Homes: f.homes, Users: f.users,
			Sizes: Even, Wide: 4 * 100 * 4 / f.homes, Long: 10, Warm: 20 * time.Second, // in which the first jobs end, which found nobody else
		}
		s.Jobs = int(45 * s.capacity() / s.Sizes.mean.Seconds() / float64(f.homes))
		fair = append(fair, s)
	}
	packed := loaded("memory", 100, 10, 0.6, Heavy.with(256<<20, 6<<30))
	packed.Memory, packed.Known = 12<<30, true
	for load := 0.1; load < 0.97; load += 0.1 {
		sweep = append(sweep, loaded("heavy", 100, 10, load, Heavy))
	}
	sweep = append(sweep, loaded("heavy", 100, 10, 0.95, Heavy), loaded("heavy", 100, 10, 0.98, Heavy))
	return []Section{
		{"response", response, Schedulers, few},
		{"homes", homes, pair, one},
		{"small", small, Schedulers, few},
		{"other", other, ideals, several},
		{"mixed", mixed, Schedulers, few},
		{"faults", faults, []string{"ours"}, one},
		{"memory", []Shape{packed}, []string{"ours"}, few},
		{"fair", fair, pair, one},
		{"sweep", sweep, Schedulers, one},
	}
}

// Unseen is the catalogue for seeds that placement was not made with: ours beside the ideals alone, without the sweep and the shapes that take a minute each.
func Unseen(sections []Section) (all []Section) {
	for _, s := range sections {
		if s.Name == "sweep" {
			continue
		}
		s.Shapes = slices.DeleteFunc(slices.Clone(s.Shapes), func(s Shape) bool { return s.Nodes*s.Homes > 1e6 })
		s.Schedulers = slices.DeleteFunc(slices.Clone(s.Schedulers), func(s string) bool { return s != "omniscient" && s != "equal" && s != "ours" })
		all = append(all, s)
	}
	return all
}

// ShapeNamed finds a shape of the catalogue.
func ShapeNamed(name string) (Shape, error) {
	for _, s := range Catalogue() {
		if i := slices.IndexFunc(s.Shapes, func(s Shape) bool { return s.Name == name }); i >= 0 {
			return s.Shapes[i], nil
		}
	}
	return Shape{}, fmt.Errorf("shape %s: not in the catalogue", name)
}
