package main

import (
	"bufio"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"mexec/bench/builds/bound"
)

// row is a recipe line that record.c has noted. Times are seconds.
type row struct {
	id, parent   string // that of the recipe line that its make was started from; 0: none
	make         string // pid
	began, ended float64
	cpu          float64 // first with all below it, then without
	dir, target  string

	start, end int   // its tasks: they are one where no make is nested in it
	nested     []int // tasks of those that are
}

// parseRecord reads what record.c wrote, after a line of ours that says when make was started.
func parseRecord(text string) (began float64, rows []*row, err error) {
	first, text, _ := strings.Cut(text, "\n")
	if began, err = strconv.ParseFloat(first, 64); err != nil {
		return 0, nil, fmt.Errorf("record: %w", err)
	}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 8 {
			return 0, nil, fmt.Errorf("record: %d fields in %q", len(f), line)
		}
		r := &row{id: f[0], parent: f[1], make: f[2], dir: f[6], target: f[7]}
		for i, to := range []*float64{&r.began, &r.ended, &r.cpu} {
			if *to, err = strconv.ParseFloat(f[3+i], 64); err != nil {
				return 0, nil, fmt.Errorf("record: %w", err)
			}
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b *row) int {
		if a.began < b.began {
			return -1
		}
		return 1
	})
	byID := map[string]*row{}
	for _, r := range rows {
		byID[r.id] = r
	}
	cpu := map[string]float64{}
	for _, r := range rows {
		cpu[r.id] = r.cpu
	}
	for _, r := range rows {
		if above := byID[r.parent]; above != nil {
			above.cpu = max(0, above.cpu-cpu[r.id])
		}
	}
	return began, rows, nil
}

// database is what one make knows of its targets: make -p.
type database struct {
	rules     map[string][]rule
	makefiles []string
	goal      string
}

// rule is what a target waits for. Only a target of double-colon rules has several.
type rule struct {
	double bool
	after  []string
}

// parseDatabases reads what makes have printed, by their directories. Each of several in one directory has looked for the rules of other targets.
func parseDatabases(text string) map[string]*database {
	all := map[string]*database{}
	var d, into *database
	files := false
	notTarget := false
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "# Make data base, printed"):
			d, files = &database{rules: map[string][]rule{}}, false
		case d == nil:
		case strings.HasPrefix(line, "# Finished Make data base"):
			if into != nil {
				into.merge(d)
			}
			d, into = nil, nil
		case strings.HasPrefix(line, "CURDIR := "):
			dir := strings.TrimPrefix(line, "CURDIR := ")
			if all[dir] == nil {
				all[dir] = &database{rules: map[string][]rule{}}
			}
			into = all[dir]
		case strings.HasPrefix(line, "MAKEFILE_LIST := "):
			d.makefiles = strings.Fields(strings.TrimPrefix(line, "MAKEFILE_LIST := "))
		case strings.HasPrefix(line, ".DEFAULT_GOAL := "):
			d.goal = strings.TrimPrefix(line, ".DEFAULT_GOAL := ")
		case line == "# Files":
			files = true
		case !files:
		case line == "# Not a target:":
			notTarget = true
		case line == "" || line[0] == '#' || line[0] == '\t' || line[0] == ' ':
		case notTarget:
			notTarget = false
		default:
			d.add(line)
		}
	}
	return all
}

// merge adds what a later make knows. The rules of a double-colon target have an order, and it knows them all.
func (d *database) merge(other *database) {
	d.makefiles, d.goal = other.makefiles, other.goal
	for name, rules := range other.rules {
		if rules[0].double {
			d.rules[name] = rules
		} else {
			d.rules[name] = append(d.rules[name], rules...)
		}
	}
}

func (d *database) add(line string) {
	name, rest, ok := strings.Cut(line, ":")
	if !ok {
		return
	}
	rest, double := strings.CutPrefix(rest, ":")
	r := rule{double: double}
	for _, word := range strings.Fields(rest) {
		switch word {
		case "=", ":=", "::=", "+=", "?=", "!=": // a variable of the target
			return
		case "|": // what comes then may be newer, and is waited for all the same
		default:
			r.after = append(r.after, word)
		}
	}
	d.rules[name] = append(d.rules[name], r)
}

// graph makes tasks of rows. Tasks stand in the order in which make began them.
type graph struct {
	rows      []*row
	databases map[string]*database
	serial    bool // make's way with double-colon rules: the next one is not looked at before the last one is done
	tasks     []bound.Task
}

// maker is one make: its rows by target, in order.
type maker struct {
	rows  []*row
	of    map[string][]*row
	rules *database
}

// build makes the tasks; make was started at began.
func (g *graph) build(began float64) {
	makers := map[string]*maker{}
	var order []*maker
	for _, r := range g.rows {
		r.start, r.end, r.nested = 0, 0, nil
		m := makers[r.make]
		if m == nil {
			m = &maker{of: map[string][]*row{}, rules: g.databases[r.dir]}
			if m.rules == nil {
				m.rules = &database{}
			}
			makers[r.make] = m
			order = append(order, m)
		}
		m.rows = append(m.rows, r)
		m.of[r.target] = append(m.of[r.target], r)
	}
	g.tasks = nil
	byID := map[string]*row{}
	for _, r := range g.rows {
		byID[r.id] = r
		r.start = g.task(r.dir+" "+r.target, r.cpu)
		r.end = r.start
	}
	for _, r := range g.rows {
		if above := byID[r.parent]; above != nil {
			if above.end == above.start {
				above.end = g.task(above.dir+" "+above.target+" has ended", 0)
				g.after(above.end, above.start)
			}
		}
	}
	first, opening := g.opening(order[0], began)
	for _, m := range order {
		g.connect(m)
		for _, r := range m.rows {
			if above := byID[r.parent]; above != nil {
				g.after(r.start, above.start)
				g.after(above.end, r.end)
			}
		}
	}
	for _, r := range g.rows {
		if !opening[r] {
			g.after(r.start, first)
		}
	}
}

func (g *graph) task(name string, cpu float64) int {
	g.tasks = append(g.tasks, bound.Task{Name: name, CPU: time.Duration(cpu * float64(time.Second))})
	return len(g.tasks) - 1
}

func (g *graph) after(task, before int) {
	if task != before && !slices.Contains(g.tasks[task].After, before) {
		g.tasks[task].After = append(g.tasks[task].After, before)
	}
}

// opening is what make does before any other recipe: it reads the makefiles, makes those that can be made, and reads them again. It returns the task that all others
// wait for, and which rows are part of the opening. A makefile may be made once more later, as any target may that depends on one that is never there.
func (g *graph) opening(top *maker, began float64) (first int, part map[*row]bool) {
	read := g.task("make reads", top.rows[0].began-began)
	part = map[*row]bool{}
	ended := 0.0
	for _, r := range top.rows {
		if !slices.Contains(top.rules.makefiles, r.target) || top.of[r.target][0] != r {
			if len(part) == 0 {
				return read, part
			}
			again := g.task("make reads again", max(0, r.began-ended))
			for r := range part {
				g.after(again, r.end)
			}
			return again, part
		}
		part[r] = true
		ended = max(ended, r.ended)
		g.after(r.start, read)
	}
	return read, part
}

// connect says which rows of a make wait for which.
func (g *graph) connect(m *maker) {
	for target, rows := range m.of {
		before := m.closest(target)
		for i, r := range rows {
			if i > 0 {
				g.after(r.start, rows[i-1].end)
				continue
			}
			for name := range before {
				done := m.of[name]
				g.after(r.start, done[len(done)-1].end)
			}
		}
	}
	if g.serial {
		g.serialize(m)
	}
}

// closest are the targets with recipes that a target waits for, through those that have none.
func (m *maker) closest(target string) map[string]bool {
	found, seen := map[string]bool{}, map[string]bool{target: true}
	var look func(name string)
	look = func(name string) {
		rules := m.rules.rules[name]
		if name == target && len(rules) > 1 && rules[0].double {
			return // whose recipe it is, only serialize can tell
		}
		for _, r := range rules {
			for _, before := range r.after {
				switch {
				case seen[before]:
				case m.of[before] != nil:
					seen[before], found[before] = true, true
				default:
					seen[before] = true
					look(before)
				}
			}
		}
	}
	look(target)
	return found
}

// below are all targets with recipes that have to be made for these.
func (m *maker) below(names []string) map[string]bool {
	found, seen := map[string]bool{}, map[string]bool{}
	var look func(name string)
	look = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		if m.of[name] != nil {
			found[name] = true
		}
		for _, r := range m.rules.rules[name] {
			for _, before := range r.after {
				look(before)
			}
		}
	}
	for _, name := range names {
		look(name)
	}
	return found
}

// serialize lets the double-colon rules of the goal be made one after the other. Which of the goal's own recipes is whose rule's is told by when it ran.
func (g *graph) serialize(m *maker) {
	goal := m.rules.goal
	rules := m.rules.rules[goal]
	if len(rules) < 2 || !rules[0].double {
		return
	}
	done := map[string]bool{}
	own := m.of[goal]
	last := -1 // the task that stands for the end of all before
	for _, r := range rules {
		var now []string
		for name := range m.below(r.after) {
			if name != goal && !done[name] {
				now = append(now, name)
			}
		}
		if len(now) == 0 {
			continue
		}
		slices.Sort(now)
		began := math.Inf(1)
		for _, name := range now {
			done[name] = true
			rows := m.of[name]
			began = min(began, rows[len(rows)-1].began)
		}
		for len(own) > 0 && own[0].ended <= began {
			if last >= 0 {
				g.after(own[0].start, last)
			}
			last, own = own[0].end, own[1:]
		}
		end := g.task("rule of "+goal, 0)
		for _, name := range now {
			rows := m.of[name]
			if last >= 0 {
				g.after(rows[len(rows)-1].start, last)
			}
			g.after(end, rows[len(rows)-1].end)
		}
		last = end
	}
}

// repeated are the tasks of several builds that know nothing of each other.
func repeated(tasks []bound.Task, n int) (all []bound.Task) {
	for i := range n {
		for _, t := range tasks {
			t.After = slices.Clone(t.After)
			for j := range t.After {
				t.After[j] += i * len(tasks)
			}
			all = append(all, t)
		}
	}
	return all
}

// cycle returns a task that waits for itself, or -1.
func cycle(tasks []bound.Task) int {
	left := map[int]int{}
	next := map[int][]int{}
	var ready []int
	for i, t := range tasks {
		for _, b := range t.After {
			next[b] = append(next[b], i)
		}
		if left[i] = len(t.After); left[i] == 0 {
			ready = append(ready, i)
			delete(left, i)
		}
	}
	for len(ready) > 0 {
		i := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		for _, n := range next[i] {
			if left[n]--; left[n] == 0 {
				ready = append(ready, n)
				delete(left, n)
			}
		}
	}
	for _, i := range slices.Sorted(maps.Keys(left)) {
		return i
	}
	return -1
}
