// Package projects_test builds unmodified projects of Debian by their own tools, with mpmake or mprun over four hosts, and compares what comes out with
// what the plain tool makes on one host. docs/PROJECTS.md is its output.
package projects_test

import (
	"flag"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"mexec/test/hosts"
)

var (
	write = flag.Bool("write", false, "write docs/PROJECTS.md")
)

const (
	nodes     = 4
	slots     = 1   // of each: what a daemon takes for half a CPU, if nobody says otherwise
	placedMin = 0.9 // of the CPU time of a build, in commands that we placed
	shareMost = 1.5 // of its fair share, on any node
	tries     = 3   // for these two: who gets a job next is a matter of milliseconds, and of what else the machine does
)

// line is a row of the table.
type line struct {
	*workshop
	told
	share               float64 // of the CPU time, in commands that we placed
	spread              account // what each node has used
	whole, alone, over  time.Duration
	compared, differing int
	unsteady            int // those of them that differ between two plain builds too
	skipped             string
}

func TestProjectsBuildOverTheNodesAsTheyDoHere(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give hosts a share of the CPU, and tell what they use")
	}
	if out, err := exec.CommandContext(t.Context(), "./deps").CombinedOutput(); err != nil || len(out) > 0 {
		t.Logf("deps: %v: %s", err, out)
	}
	share := float64(runtime.NumCPU()) / nodes
	cluster := hosts.Test(t, hosts.Config{N: nodes, Slots: slots, CPU: share})
	if err := cluster.WaitUp(t.Context(), nodes); err != nil {
		t.Fatal(err)
	}
	one := hosts.Test(t, hosts.Config{N: 1, CPU: share * nodes, Bare: true})

	var lines []line
	for _, r := range rows {
		if testing.Short() && !r.short {
			continue
		}
		l := line{workshop: &workshop{row: r}, skipped: "did not run"}
		t.Run(r.name, func(t *testing.T) {
			l.show(t, cluster, one.All[0])
		})
		lines = append(lines, l)
	}
	if *write && !t.Failed() {
		if err := os.WriteFile("../../docs/PROJECTS.md", []byte(page(lines)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// show builds the project in three ways: plainly on one host that has the CPUs of all four, plainly on one of the four, and over the four.
func (l *line) show(t *testing.T, cluster *hosts.Hosts, one *hosts.Host) {
	w, missing := newWorkshop(t, l.row)
	if missing != "" {
		l.skipped = strings.Join(strings.Fields(missing), " ")
		t.Skip(missing)
	}
	l.workshop = w
	home := cluster.All[0]
	whole := l.plain(t, "whole", one, nodes*slots)
	alone := l.plain(t, "alone", home, slots)
	for range tries {
		before := read(t, cluster)
		over := l.build(t, "over", home, l.command, "")
		l.spread, l.told, l.over = read(t, cluster).since(before), readTrace(t, l.path("over.json")), over.elapsed
		l.share = float64(l.placed.sum()) / float64(l.spread.sum())
		l.agrees(t, over, alone, whole)
		if l.share >= placedMin && (l.limit != "" || l.spread.most() <= shareMost) {
			break
		}
	}
	l.whole, l.alone, l.skipped = whole.elapsed, alone.elapsed, ""
	t.Logf("%d commands; CPU %v, placed %v, %.0f %%, most %.2f; kept %v; elapsed %.1f s, alone %.1f, whole %.1f; %d compared, %d differ, %d in plain builds too",
		l.commands, l.spread, l.placed, 100*l.share, l.spread.most(), l.kept, l.over.Seconds(), alone.elapsed.Seconds(), whole.elapsed.Seconds(), l.compared, l.differing, l.unsteady)
	if l.share < placedMin {
		t.Errorf("%.0f %% of the CPU time in commands that we placed", 100*l.share)
	}
	if most := l.spread.most(); l.limit == "" && most > shareMost {
		t.Errorf("a node has %.2f of its fair share: %v", most, l.spread)
	}
}

// agrees fails the test where a build differs from a plain one in what two plain ones have in common.
func (l *line) agrees(t *testing.T, over, alone, whole result) {
	t.Helper()
	compared, different := l.difference(t, alone, over)
	if compared == 0 {
		t.Error("nothing to compare")
	}
	l.compared, l.differing, l.unsteady = compared, len(different), 0
	if len(different) > 0 {
		_, unsteady := l.difference(t, whole, alone)
		different = slices.DeleteFunc(different, func(name string) bool { return slices.Contains(unsteady, name) })
		l.unsteady = l.differing - len(different)
		for _, name := range different {
			t.Errorf("differs from a plain build: %s", name)
		}
	}
}
