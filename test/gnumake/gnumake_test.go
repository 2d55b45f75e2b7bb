// Package gnumake_test runs GNU make's own test suite three times: with the make as it is, with every recipe on another node
// by the preload, and with a make that was built with libmexec. What differs, case by case, must stand in one table, with its reason.
//
// The suite has races of its own, and so has a busy machine: a category that differs is run again, alone, and only what fails each time is a difference.
package gnumake_test

import (
	"context"
	"errors"
	"flag"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"mexec/internal/ctl"
	"mexec/internal/ledger"
	"mexec/test/hosts"
)

var write = flag.Bool("write", false, "write docs/gnu-make-suite.md")

var versions = []string{"4.3", "4.4.1"}

const attempts = 4

// build is the name by which the daemon sums up what the preload sends.
const build = "suite"

func TestMakesOwnTestsShowNoOtherResultsOverTheNodes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("hosts with a network of their own need root")
	}
	if _, err := exec.LookPath("perl"); err != nil {
		t.Skipf("make's tests are written in perl: %v", err)
	}
	var mu sync.Mutex
	report := make(map[string]map[string]*suite)
	t.Run("versions", func(t *testing.T) {
		for _, version := range versions {
			t.Run(version, func(t *testing.T) {
				t.Parallel()
				suites := compare(t, version)
				mu.Lock()
				defer mu.Unlock()
				report[version] = suites
			})
		}
	})
	if *write && !t.Failed() {
		if err := os.WriteFile("../../docs/gnu-make-suite.md", []byte(page(report)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// compare runs a version in all ways.
func compare(t *testing.T, version string) map[string]*suite {
	hs := hosts.Test(t, hosts.Config{N: 3, Slots: 16, Flags: []string{"--debug"}})
	if err := hs.WaitUp(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	home := hs.All[0]
	bin := reachable(t, home.Bin())
	stock, linked := built(t, version, plain), built(t, version, library)
	suites := make(map[string]*suite)
	for _, w := range []struct {
		way
		tree string
	}{{plain, stock}, {preload, stock}, {library, linked}} {
		suites[w.name] = &suite{tree: underTest(t, w.tree, w.settings(bin)), host: home, cases: make(map[string]result)}
	}
	again := map[string][]string{plain.name: nil, preload.name: nil, library.name: nil} // nil: all
	for range attempts {
		if err := runAll(t.Context(), suites, again); err != nil {
			t.Fatal(err)
		}
		if again = differing(version, suites); len(again) == 0 {
			break
		}
		t.Logf("again: %v", again)
	}
	for _, w := range []way{preload, library} {
		judge(t, version, w.name, suites[plain.name], suites[w.name])
	}
	travelled(t, hs)
	return suites
}

// travelled checks that the recipes were run where they should.
func travelled(t *testing.T, hs *hosts.Hosts) {
	socket := hs.All[0].OutsideSocket()
	var sums ledger.Build
	var jobs []ledger.Job // the last thousand
	if err := errors.Join(ctl.Query(t.Context(), socket, "build "+build, &sums), ctl.Query(t.Context(), socket, "jobs", &jobs)); err != nil {
		t.Fatal(err)
	}
	const few = 500
	if sums.ByNode["node1"] > 0 || sums.Jobs < few {
		t.Errorf("preload: %d jobs, by node %v", sums.Jobs, sums.ByNode)
	}
	all := 0
	for _, h := range hs.All[1:] {
		all += strings.Count(h.Log(), "job of node1: ")
	}
	if all < sums.Jobs+few {
		t.Errorf("%d jobs on other nodes, %d of them by the preload", all, sums.Jobs)
	}
	for _, j := range jobs {
		if j.Node == "node1" {
			t.Errorf("%s ran here: %s", j.Command, j.Why)
		}
	}
}

func runAll(ctx context.Context, suites map[string]*suite, categories map[string][]string) error {
	errs := make([]error, 0, len(categories))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, c := range categories {
		wg.Go(func() {
			err := suites[name].run(ctx, c...)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// differing are the categories, by way, that have to be run again.
func differing(version string, suites map[string]*suite) map[string][]string {
	again := make(map[string][]string)
	add := func(way, category string) {
		if !slices.Contains(again[way], category) {
			again[way] = append(again[way], category)
		}
	}
	for _, w := range []way{preload, library} {
		for category, was := range suites[plain.name].cases {
			is := suites[w.name].cases[category]
			for name := range is.failed {
				if _, ok := was.failed[name]; !ok && explained(version, w.name, name) == "" {
					add(w.name, category)
				}
			}
			for name := range was.failed {
				if _, ok := is.failed[name]; !ok {
					add(plain.name, category)
				}
			}
		}
	}
	return again
}

// judge fails the test for each difference that is not explained, and for each explanation of nothing.
func judge(t *testing.T, version, way string, was, is *suite) {
	for _, category := range slices.Sorted(maps.Keys(was.cases)) {
		a, b := was.cases[category], is.cases[category]
		if a.cases != b.cases || a.skipped != b.skipped {
			t.Errorf("%s, %s: %s has %d cases, not %d", version, way, category, b.cases, a.cases)
		}
		for _, name := range slices.Sorted(maps.Keys(b.failed)) {
			if a.failed[name] == "" && explained(version, way, name) == "" {
				t.Errorf("%s, %s: %s passes plainly:\n%s", version, way, name, b.failed[name])
			}
		}
		for _, name := range slices.Sorted(maps.Keys(a.failed)) {
			if b.failed[name] == "" {
				t.Errorf("%s, %s: %s fails plainly only:\n%s", version, way, name, a.failed[name])
			}
		}
	}
	for _, d := range differences {
		if d.version == version && d.way == way && is.cases[category(d.name)].failed[d.name] == "" {
			t.Errorf("%s, %s: %s does not differ any more", version, way, d.name)
		}
	}
}

func category(name string) string {
	category, _, _ := strings.Cut(name, ".")
	return category
}
