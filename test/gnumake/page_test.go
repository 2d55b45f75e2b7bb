package gnumake_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const introduction = `# GNU make's own tests, over the nodes

The test suite that comes with GNU make, run with a make as it is (plain), with every recipe on another node by the preload that mpmake uses, and with a make
that is [linked with libmexec](recompiled-make.md), where nested makes and ` + "`$(shell)`" + ` travel too. A case is one call of make, and the comparison of what it prints
and of its status with what the suite wants. No recipe runs at home.

This page is the output of ` + "`make suite`" + `, which fails where a case differs that is not listed here; ` + "`make test`" + ` does too. As the suite has races of its own, a category that
differs is run again, up to three times, and what passes once has passed. That may be needed for features/parallelism and targets/WAIT: they want the lines of two
recipes in the order in which these wait for each other's files, which a busy machine may not keep.

| make | way | categories | cases | passed | other result than plain |
|---|---|---:|---:|---:|---:|
`

// page is docs/gnu-make-suite.md.
func page(report map[string]map[string]*suite) string {
	var b strings.Builder
	b.WriteString(introduction)
	skipped, failing := map[string]bool{}, []string{}
	for _, version := range versions {
		for _, w := range []way{plain, preload, library} {
			categories, cases, passed := 0, 0, 0
			for name, r := range report[version][w.name].cases {
				if r.skipped {
					skipped[name] = true
					continue
				}
				categories, cases, passed = categories+1, cases+r.cases, passed+r.passed
			}
			other := 0
			for _, d := range differences {
				if d.version == version && d.way == w.name {
					other++
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d |\n", version, w.name, categories, cases, passed, other)
		}
		for _, r := range report[version][plain.name].cases {
			for name := range r.failed {
				failing = append(failing, version+" "+name)
			}
		}
	}
	fmt.Fprintf(&b, "\nNot run, since this system or this make has no such thing: %s.\n", strings.Join(slices.Sorted(maps.Keys(skipped)), ", "))
	if len(failing) > 0 {
		slices.Sort(failing)
		fmt.Fprintf(&b, "\nFailing in all ways, plainly too: %s.\n", strings.Join(failing, ", "))
	}
	b.WriteString("\n## What differs, and why\n\nThe number of a case is that of the suite's `.diff` file.\n\n| make | way | case | reason |\n|---|---|---|---|\n")
	for _, d := range differences {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", d.version, d.way, d.name, d.why)
	}
	return b.String()
}
