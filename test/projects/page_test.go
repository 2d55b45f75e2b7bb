package projects_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const introduction = `# Real projects over four hosts

Unmodified projects from Debian's sources, each built by its own tool with ` + "`mpmake` or `mprun`" + ` over four hosts, and compared with what the plain tool makes on one host. The hosts
are network namespaces on one machine, each with its own mexecd, one slot and a quarter of the machine's CPUs. The commands are what a person types; the plain build is the
same without ` + "`mprun`, and with `make` for `mpmake`" + `. brotli's tests have run once before, as tests have: ctest then begins with those that took longest.
The first time it goes by its list, the longest but one last but two, and a node had 1.5 to 1.9 fair shares in eight runs.

This page is the output of ` + "`make projects`" + ` (as root), which fails where results differ, where less than 90 % of a build's CPU time is in commands that we placed, or where
a node has more than 1.5 times its fair share, unless the row says why it can't spread. CPU time is what the hosts' control groups count, without the daemons: the
tool, mpmake itself, and all that stayed are in it. Elapsed times are those of one run and move with what else the machine does.

- **identical**: of the objects, archives and executables (or of the pictures, documents, configured files, or results of tests), how many are the same as in a plain build, byte
  for byte. What differs between two plain builds too is not counted, nor the line in which libtool names the host that it was configured on.
- **placed**: the commands, and their part of the CPU time. **Shares**: the CPU time of node 1 (home) to 4, as multiples of a fair share.
- **of one host**: elapsed, as a ratio to the plain build on one of the four hosts (ideal: 0.25). **Of the whole**: to the plain build on one host that has the CPUs of all four (ideal: 1).

| project | version | command | commands placed | CPU placed | shares | identical | of one host | of the whole | what stayed, and why |
|---|---|---|---:|---:|---|---:|---:|---:|---|
`

// page is docs/PROJECTS.md.
func page(lines []line) string {
	var b strings.Builder
	b.WriteString(introduction)
	for _, l := range lines {
		command := strings.ReplaceAll(l.command, "|", `\|`)
		if l.skipped != "" {
			fmt.Fprintf(&b, "| %s | | `%s` | | | | | | | left out: %s |\n", l.name, command, l.skipped)
			continue
		}
		var shares []string
		for _, node := range slices.Sorted(maps.Keys(l.spread)) {
			shares = append(shares, fmt.Sprintf("%.2f", float64(l.spread[node])*float64(len(l.spread))/float64(l.spread.sum())))
		}
		steady := l.compared - l.unsteady
		fmt.Fprintf(&b, "| %s | %s | `%s` | %d | %.0f %% | %s | %d of %d | %.2f | %.2f | %s |\n", l.name, l.version, command, l.commands, 100*l.share,
			strings.Join(shares, " "), steady-(l.differing-l.unsteady), steady, ratio(l.over, l.alone), ratio(l.over, l.whole), l.stayed())
	}
	return b.String()
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

// stayed is where the rest of the CPU time went: the largest reasons first, and what is in no command.
func (l *line) stayed() string {
	var parts []string
	rest := l.spread.sum() - l.placed.sum()
	reasons := slices.SortedFunc(maps.Keys(l.kept), func(a, b string) int { return cmp.Compare(l.kept[b], l.kept[a]) })
	for _, why := range reasons {
		rest -= l.kept[why]
		if percent := 100 * ratio(l.kept[why], l.spread.sum()); percent >= 0.5 {
			parts = append(parts, fmt.Sprintf("%.0f %% %s", percent, why))
		}
	}
	if percent := 100 * ratio(rest, l.spread.sum()); percent >= 0.5 {
		parts = append(parts, fmt.Sprintf("%.0f %% the tool, mexec and the start of commands", percent))
	}
	if l.limit != "" {
		parts = append(parts, "not asked to spread: "+l.limit)
	}
	return strings.Join(parts, "; ")
}
