package simtest

import (
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"text/template"
	"time"
)

//go:embed report.md
var reportText string

//go:embed seeds.md
var seedsText string

// report is all results of a catalogue.
type report struct {
	sections []Section
	results  map[string][]*Result // of a shape and a scheduler, one a seed
	First    uint64               // seed
	began    time.Time
	took     time.Duration
}

func key(shape, scheduler string) string { return shape + "\x00" + scheduler }

// simulate runs sections, from this seed on, as many runs side by side as there are processors, and says what breaks when it does.
func simulate(sections []Section, first uint64, progress io.Writer) *report {
	type run struct {
		shape     Shape
		scheduler string
		seed      uint64
	}
	var runs []run
	for _, s := range sections {
		for _, shape := range s.Shapes {
			for _, scheduler := range s.Schedulers {
				for seed := range s.Seeds(shape) {
					if r := (run{shape, scheduler, first + uint64(seed)}); !slices.ContainsFunc(runs, func(o run) bool {
						return o.shape.Name == shape.Name && o.scheduler == scheduler && o.seed == r.seed
					}) {
						runs = append(runs, r)
					}
				}
			}
		}
	}
	slices.SortStableFunc(runs, func(a, b run) int { return cmp.Compare(b.shape.Nodes, a.shape.Nodes) }) // the long ones first
	r := &report{sections: sections, First: first, results: map[string][]*Result{}, began: time.Now()}
	var mu, views sync.Mutex
	defer debug.SetGCPercent(debug.SetGCPercent(40))
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				mu.Lock()
				if len(runs) == 0 {
					mu.Unlock()
					return
				}
				next := runs[0]
				runs = runs[1:]
				mu.Unlock()
				huge := next.shape.Nodes*next.shape.Homes >= 1e6 && next.scheduler == "ours"
				if huge {
					views.Lock() // two of these would not fit into the memory of a small machine
				}
				result := Run(next.shape, next.scheduler, next.seed)
				if huge {
					views.Unlock()
				}
				mu.Lock()
				k := key(next.shape.Name, next.scheduler)
				r.results[k] = append(r.results[k], result)
				for _, p := range result.Problems {
					fmt.Fprintf(progress, "%s: %s\n    %s\n", next.shape.Name, p, result.Repeat())
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r.took = time.Since(r.began)
	return r
}

// Repeat is the command that repeats a run.
func (r *Result) Repeat() string {
	return fmt.Sprintf("go run ./cmd/mexecsim -shape %s -scheduler %q -seed %d", r.Shape.Name, r.Scheduler, r.Seed)
}

// pooled is the results of all seeds of a shape and a scheduler as one.
func (r *report) pooled(shape, scheduler string) *Result {
	all := r.results[key(shape, scheduler)]
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *Result) int { return cmp.Compare(a.Seed, b.Seed) })
	if len(all) == 1 {
		return all[0]
	}
	p := *all[0]
	p.Responses, p.Waits, p.Lost, p.Builds, p.Jain, p.Problems = nil, nil, nil, nil, nil, nil
	p.Messages, p.Unused, p.Used, p.Jobs = 0, 0, 0, 0
	for _, o := range all {
		p.Responses = append(p.Responses, o.Responses...)
		p.Waits = append(p.Waits, o.Waits...)
		p.Lost = append(p.Lost, o.Lost...)
		p.Builds = append(p.Builds, o.Builds...)
		p.Jain = append(p.Jain, o.Jain...)
		p.Least = min(p.Least, o.Least)
		p.Most = max(p.Most, o.Most)
		p.Jobs += o.Jobs
		p.Messages += o.Messages / float64(len(all))
		p.Unused += o.Unused / float64(len(all))
		p.Used += o.Used / float64(len(all))
		p.Problems = append(p.Problems, o.Problems...)
	}
	slices.Sort(p.Responses)
	slices.Sort(p.Waits)
	slices.Sort(p.Lost)
	slices.Sort(p.Builds)
	return &p
}

// Table is a section in words: a row for each shape and scheduler.
func (r *report) Table(name string) string {
	i := slices.IndexFunc(r.sections, func(s Section) bool { return s.Name == name })
	if i < 0 {
		return "(not run)\n"
	}
	s := r.sections[i]
	var b strings.Builder
	b.WriteString("| shape | scheduler | jobs | median, ms | × ideal | p99, ms | × ideal | waited, mean / p99, ms | messages a job | grants unused |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, shape := range s.Shapes {
		ideal := r.pooled(shape.Name, "omniscient")
		for _, scheduler := range s.Schedulers {
			p := r.pooled(shape.Name, scheduler)
			unused := ""
			if scheduler == "ours" {
				unused = fmt.Sprintf("%.0f %%", 100*p.Unused)
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s | %s | %s / %s | %.1f | %s |\n", shape.Name, scheduler, p.Jobs,
				millis(quantile(p.Responses, .5)), ratio(p, ideal, .5), millis(quantile(p.Responses, .99)), ratio(p, ideal, .99),
				millis(mean(p.Waits)), millis(quantile(p.Waits, .99)), p.Messages, unused)
		}
	}
	return b.String()
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1e3) }

func ratioOf(p, ideal *Result, q float64) float64 {
	return float64(quantile(p.Responses, q)) / float64(quantile(ideal.Responses, q))
}

func ratio(p, ideal *Result, q float64) string {
	if ideal == nil {
		return ""
	}
	return fmt.Sprintf("%.3f", ratioOf(p, ideal, q))
}

// Fair is the table of the runs in which all users always want more.
func (r *report) Fair() string {
	var b strings.Builder
	b.WriteString("| shape | users | homes | scheduler | least Jain index over 10 s | all of it, s | × ideal |\n|---|---:|---:|---|---:|---:|---:|\n")
	for _, s := range r.sections {
		if s.Name != "fair" {
			continue
		}
		for _, shape := range s.Shapes {
			ideal := r.pooled(shape.Name, "omniscient")
			for _, scheduler := range s.Schedulers {
				p := r.pooled(shape.Name, scheduler)
				fmt.Fprintf(&b, "| %s | %d | %d | %s | %.4f | %.1f | %.3f |\n", shape.Name, shape.users(), shape.Homes, scheduler,
					slices.Min(append([]float64{1}, p.Jain...)), p.Span.Seconds(), p.Span.Seconds()/ideal.Span.Seconds())
			}
		}
	}
	return b.String()
}

// Builds is the table of how long whole builds took, and of how users fared whose wants differ.
func (r *report) Builds() string {
	var b strings.Builder
	b.WriteString("| shape | scheduler | builds | median, s | × ideal | × fair ideal | p99, s | × ideal | × fair ideal | least of his due |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, s := range r.sections {
		for _, shape := range s.Shapes {
			ideal, fair := r.pooled(shape.Name, "omniscient"), r.pooled(shape.Name, "equal")
			for _, scheduler := range []string{"omniscient", "equal", "ours"} {
				if p := r.pooled(shape.Name, scheduler); fair != nil && p != nil && len(p.Builds) > 0 {
					times := func(q float64) string {
						took := quantile(p.Builds, q).Seconds()
						return fmt.Sprintf("%.2f | %.3f | %.3f", took, took/quantile(ideal.Builds, q).Seconds(), took/quantile(fair.Builds, q).Seconds())
					}
					fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %.3f |\n", shape.Name, scheduler, len(p.Builds), times(.5), times(.99), p.Least)
				}
			}
		}
	}
	return b.String()
}

// Lost is the table of what work conservation was measured to be.
func (r *report) Lost() string {
	var b strings.Builder
	b.WriteString("| shape | p99, ms | p99.9, ms | most, ms | allowed, ms |\n|---|---:|---:|---:|---:|\n")
	for _, s := range r.sections {
		for _, shape := range s.Shapes {
			if p := r.pooled(shape.Name, "ours"); p != nil && s.Name != "sweep" {
				fmt.Fprintf(&b, "| %s | %.1f | %.1f | %s | %s |\n", shape.Name, 1e3*quantile(p.Lost, .99), 1e3*quantile(p.Lost, .999), millis(p.Most), millis(shape.excused()))
			}
		}
	}
	return b.String()
}

const none = "None.\n"

// Problems are all that broke, with what repeats it.
func (r *report) Problems() string {
	var b strings.Builder
	n := 0
	for _, s := range r.sections {
		for _, shape := range s.Shapes {
			for _, scheduler := range s.Schedulers {
				for _, p := range r.results[key(shape.Name, scheduler)] {
					for _, problem := range p.Problems {
						if n++; n <= 40 {
							fmt.Fprintf(&b, "- %s: %s (`%s`)\n", shape.Name, problem, p.Repeat())
						}
					}
				}
			}
		}
	}
	if n == 0 {
		return none
	}
	return fmt.Sprintf("%d:\n\n%s", n, b.String())
}

// Bars says of each shape of the section whether the median and the 99th percentile are within 5 % and 15 % of the ideal.
func (r *report) Bars() string {
	var b strings.Builder
	b.WriteString("| shape | median × ideal (at most 1.05) | p99 × ideal (at most 1.15) | reached | beside the ideal that is fair |\n|---|---:|---:|---|---:|\n")
	for _, s := range r.sections {
		if s.Name != "response" && s.Name != "homes" && s.Name != "other" && s.Name != "mixed" {
			continue
		}
		for _, shape := range s.Shapes {
			ideal, p := r.pooled(shape.Name, "omniscient"), r.pooled(shape.Name, "ours")
			reached := "yes"
			if ratioOf(p, ideal, .5) > 1.05 || ratioOf(p, ideal, .99) > 1.15 {
				reached = "**no**"
			}
			fair := ""
			if ideal := r.pooled(shape.Name, "equal"); ideal != nil {
				fair = ratio(p, ideal, .5) + ", " + ratio(p, ideal, .99)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", shape.Name, ratio(p, ideal, .5), ratio(p, ideal, .99), reached, fair)
		}
	}
	return b.String()
}

func (r *report) Runs() (n int) {
	for _, all := range r.results {
		n += len(all)
	}
	return n
}

func (r *report) Took() string {
	return r.took.Round(time.Second).String()
}

func (r *report) Processors() int { return runtime.NumCPU() }

// write writes the report and its plots into a directory.
func (r *report) write(dir string) error {
	files := map[string]string{}
	for name, c := range r.plots() {
		files[name+".svg"] = c.svg()
	}
	return r.writeAs("README.md", reportText, files, dir)
}

// writeSeeds writes what other seeds than the usual ones gave.
func (r *report) writeSeeds(dir string) error {
	return r.writeAs("seeds.md", seedsText, map[string]string{}, dir)
}

func (r *report) writeAs(page, text string, files map[string]string, dir string) error {
	t, err := template.New(page).Parse(text)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := t.Execute(&b, r); err != nil {
		return err
	}
	files[page] = b.String()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	return nil
}
