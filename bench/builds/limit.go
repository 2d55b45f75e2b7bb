package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mexec/bench/builds/bound"
)

// limit computes how long a ground's build must take, from what is recorded of the project's recipes.
func (g *ground) limit(ctx context.Context, y *yard) (limit, error) {
	l := limit{Scenario: g.scenario(), Label: g.label, At: time.Now()}
	if _, err := os.Stat(y.path("database")); g.again || err != nil {
		if err := g.record(ctx, y); err != nil {
			return l, err
		}
	}
	recorded, err := os.ReadFile(y.path("record"))
	database, e := os.ReadFile(y.path("database"))
	if err := errors.Join(err, e); err != nil {
		return l, err
	}
	return l, l.compute(g, string(recorded), string(database))
}

// record builds once on the whole with a SHELL that records each recipe, and once with -n for what make knows of dependencies. The first line of the record is
// when make was started.
func (g *ground) record(ctx context.Context, y *yard) error {
	home := g.whole.All[0]
	if _, err := y.fresh(ctx, "work"); err != nil {
		return err
	}
	if err := os.RemoveAll(y.path("database")); err != nil {
		return err
	}
	if err := os.WriteFile(y.path("record"), fmt.Appendf(nil, "%.6f\n", monotonic()), 0o644); err != nil {
		return err
	}
	shell := []string{"make", fmt.Sprintf("-j%d", g.n), "SHELL=" + filepath.Join(g.dir, "record"), ".SHELLFLAGS=$@ -c"}
	if err := g.build(ctx, home, y, "work", "record", call{argv: append(shell, g.project.args...), env: []string{"RECORD=" + y.path("record")}}); err != nil {
		return err
	}
	work, err := y.fresh(ctx, "work")
	if err != nil {
		return err
	}
	// What -n prints is what make knows once it has looked for implicit rules. Nested makes are called in spite of it, and print theirs. Some recipes
	// need what was not made, hence -k, and no look at the status.
	cmd := g.command(ctx, home, call{argv: append([]string{"make", "-npk"}, g.project.args...)})
	cmd.Dir = work
	database, err := cmd.Output()
	if len(database) == 0 {
		return fmt.Errorf("make -npk: %w", err)
	}
	return os.WriteFile(y.path("database"), database, 0o644)
}

// compute fills in the limit of a ground.
func (l *limit) compute(g *ground, recorded, databases string) error {
	began, rows, err := parseRecord(recorded)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("record: the build had no recipes")
	}
	for i, serial := range []bool{true, false} {
		gr := &graph{rows: rows, databases: parseDatabases(databases), serial: serial}
		gr.build(began)
		if at := cycle(gr.tasks); at >= 0 {
			return fmt.Errorf("graph: %s waits for itself", gr.tasks[at].Name)
		}
		tasks := repeated(gr.tasks, g.homes)
		took := bound.Schedule(tasks, g.machines()).Seconds()
		if i > 0 {
			l.Free = took
			continue
		}
		l.Bound, l.Tasks = took, len(rows)*g.homes
		l.Work, l.Path = bound.Work(tasks).Seconds(), bound.Path(tasks).Seconds()
		for _, t := range gr.tasks {
			if strings.HasPrefix(t.Name, "make reads") {
				l.Make += t.CPU.Seconds()
			}
		}
	}
	return nil
}
