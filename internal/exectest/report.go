package exectest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Report is what a run of the tests has found.
type Report struct {
	mu    sync.Mutex
	cells map[string]map[string]*cell // by test and runner
	seen  map[*Difference]map[string]bool
}

// cell is one test over one runner.
type cell struct {
	failed   bool
	declared map[*Difference]bool
}

func (r *Report) cell(test, runner string) *cell {
	if r.cells == nil {
		r.cells = make(map[string]map[string]*cell)
		r.seen = make(map[*Difference]map[string]bool)
	}
	row := r.cells[test]
	if row == nil {
		row = make(map[string]*cell)
		r.cells[test] = row
	}
	if row[runner] == nil {
		row[runner] = &cell{declared: make(map[*Difference]bool)}
	}
	return row[runner]
}

// ran notes that a test is over.
func (r *Report) ran(test, runner string, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.cell(test, runner)
	c.failed = c.failed || failed
}

// compare fails t for each difference that nobody has declared, and counts them.
func (r *Report) compare(t testing.TB, test, runner string, want, got Outcome) (undeclared int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := make(map[string]bool)
	for k := range want {
		keys[k] = true
	}
	for k := range got {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if want[k] == got[k] {
			continue
		}
		if d := declared(test, runner, k); d != nil {
			r.cell(test, runner).declared[d] = true
			if r.seen[d] == nil {
				r.seen[d] = make(map[string]bool)
			}
			r.seen[d][runner] = true
			continue
		}
		undeclared++
		t.Errorf("%s: kernel %.300q, %s %.300q", k, want[k], runner, got[k])
	}
	return undeclared
}

// Stale are the declared differences that did not show over a runner that they are declared for.
func (r *Report) Stale(runners []string) (stale []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range Declared {
		d := &Declared[i]
		for _, name := range d.Runners {
			if slices.Contains(runners, name) && !r.seen[d][name] && !d.Race {
				stale = append(stale, fmt.Sprintf("%s: not so any more over %s", d.Name, name))
			}
		}
	}
	return stale
}

// Table is tests × runners as text: "=" where nothing differs, else the numbers of the declared differences, FAIL where others do.
func (r *Report) Table(runners []string) [][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	number := make(map[*Difference]int)
	for i := range Declared {
		number[&Declared[i]] = i + 1
	}
	rows := [][]string{append([]string{"test"}, runners...)}
	for _, test := range slices.Sorted(maps.Keys(r.cells)) {
		row := []string{test}
		for _, runner := range runners {
			c := r.cells[test][runner]
			var marks []string
			switch {
			case c == nil:
				row = append(row, "")
				continue
			case c.failed:
				row = append(row, "FAIL")
				continue
			}
			for i := range Declared {
				if d := &Declared[i]; d.Tests != "" && (c.declared[d] || d.Race && d.covers(test, runner)) {
					marks = append(marks, fmt.Sprint(number[d]))
				}
			}
			if marks == nil {
				marks = []string{"="}
			}
			row = append(row, strings.Join(marks, " "))
		}
		rows = append(rows, row)
	}
	return rows
}
