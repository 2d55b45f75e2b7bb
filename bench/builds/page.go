package main

import (
	_ "embed"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"mexec/bench/machine"
)

// names are the systems in words, in the order of the page.
var names = []struct{ key, text string }{
	{"smp", "make on one host with all the CPUs"},
	{"mexec", "mpmake"},
	{"ssh", "make, each recipe over ssh by a script"},
	{"sshc", "make, each recipe over ssh by a program in C"},
	{"distcc", "make, distcc"},
	{"pump", "make, distcc-pump"},
	{"icecc", "make, icecc"},
}

//go:embed page.md
var pageText string

// writePage makes the page of all that is recorded.
func writePage(name string) error {
	builds, limits, err := recorded()
	if err != nil {
		return err
	}
	page := strings.NewReplacer("$MACHINE", machine.String(), "$TABLES", tables(builds, limits), "$COMMANDS", commands(builds), "$LOSSES", losses(builds, limits), "$TRIALS", trials(builds, limits)).Replace(pageText)
	return os.WriteFile(name, []byte(page), 0o644)
}

// scenarios are those without a label, in the order in which they came first.
func scenarios(builds []build) (order []string, of map[string][]build) {
	of = map[string][]build{}
	for _, b := range builds {
		if b.Label != "" || strings.HasPrefix(b.Scenario, "lua") && len(b.Each) == 1 { // lua alone is for a quick look
			continue
		}
		if of[b.Scenario] == nil {
			order = append(order, b.Scenario)
		}
		of[b.Scenario] = append(of[b.Scenario], b)
	}
	return order, of
}

func of(builds []build, system string) (bs []build) {
	for _, b := range builds {
		if b.System == system {
			bs = append(bs, b)
		}
	}
	return bs
}

// boundOf is the last that was computed for a scenario.
func boundOf(limits []limit, scenario string) (found limit) {
	for _, l := range limits {
		if l.Scenario == scenario {
			found = l
		}
	}
	return found
}

func tables(builds []build, limits []limit) string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format, args...) }
	order, all := scenarios(builds)
	for _, scenario := range order {
		l := boundOf(limits, scenario)
		bs := all[scenario]
		p("### %s\n\n", scenario)
		p("%d recipe lines of %.1f CPU s, the longest chain %.1f CPU s; the bound is **%.1f s** (%.1f s if make did not take double-colon rules one after the other).\n\n",
			l.Tasks, l.Work, l.Path, l.Bound, l.Free)
		p("| | builds | elapsed | to smp | to the bound | CPU of all | CPU of home | identical | CPU of others |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
		smp := of(bs, "smp")
		for _, n := range names {
			these := of(bs, n.key)
			if len(these) == 0 {
				continue
			}
			elapsed := median(these, func(b build) float64 { return b.Elapsed })
			ratio, same := "", "–"
			if len(smp) > 0 {
				ratio = fmt.Sprintf("%.2f", elapsed/median(smp, func(b build) float64 { return b.Elapsed }))
			}
			if last := these[len(these)-1]; last.Of > 0 {
				same = fmt.Sprintf("%d of %d", last.Same, last.Of)
			}
			home := fmt.Sprintf("%.1f s", median(these, func(b build) float64 { return b.Used[0] }))
			if n.key == "smp" {
				home = "–"
			}
			p("| %s | %d | %.1f s | %s | %.2f | %.1f s | %s | %s | %.1f s |\n", n.text, len(these), elapsed, ratio, elapsed/l.Bound,
				median(these, func(b build) float64 { return b.CPU }), home, same, median(these, func(b build) float64 { return b.Others }))
		}
		p("\n")
		p("%s", spread(bs))
	}
	return s.String()
}

// spread says how even builds were that ran at once, and how far rounds lay apart.
func spread(bs []build) string {
	var s strings.Builder
	for _, n := range names {
		these := of(bs, n.key)
		if len(these) > 1 {
			var each []string
			for _, b := range these {
				each = append(each, fmt.Sprintf("%.1f", b.Elapsed))
			}
			fmt.Fprintf(&s, "%s: rounds of %s s. ", n.text, strings.Join(each, ", "))
		}
		if len(these) > 0 && len(these[0].Each) > 1 {
			b := these[len(these)-1]
			fmt.Fprintf(&s, "%s: the homes were done after %.1f to %.1f s, Jain's index of that %.3f. ", n.text, slices.Min(b.Each), slices.Max(b.Each), jain(b.Each))
		}
	}
	if s.Len() == 0 {
		return ""
	}
	return strings.TrimSpace(s.String()) + "\n\n"
}

// jain is 1 where all are equal, and 1/n where one has all.
func jain(of []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, x := range of {
		sum += x
		squares += x * x
	}
	return sum * sum / squares / float64(len(of))
}

func commands(builds []build) string {
	var s strings.Builder
	most := map[string]build{}
	for _, b := range builds {
		if b.Label == "" && strings.HasPrefix(b.Scenario, "git") && len(b.Used) >= len(most[b.System].Used) && len(b.Each) == 1 {
			most[b.System] = b
		}
	}
	for _, n := range names {
		if b, ok := most[n.key]; ok {
			fmt.Fprintf(&s, "- %s: `%s`\n", n.text, b.Command)
		}
	}
	return s.String()
}

func losses(builds []build, limits []limit) string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format, args...) }
	order, all := scenarios(builds)
	for _, scenario := range order {
		these := of(all[scenario], "mexec")
		if len(these) == 0 || these[0].Loss == nil || len(these[0].Each) > 1 { // a trace knows the commands of its own build only
			continue
		}
		b := these[len(these)-1]
		l := b.Loss
		p("### %s\n\n| | CPU s | of what the quotas offered |\n|---|---:|---:|\n", scenario)
		line := func(text string, cpu float64) { p("| %s | %.1f | %.1f %% |\n", text, cpu, 100*cpu/l.Offered) }
		line("offered: quotas × elapsed", l.Offered)
		line("commands, at home", l.Here+l.Kept)
		line("commands, elsewhere", l.There)
		line("home: make, the stubs, mpmake", l.Home)
		line("home: mexecd", b.Daemons[0])
		line("elsewhere: mexecd", l.Daemons)
		line("elsewhere: what starts commands, and what their account does not see", l.Workers)
		line("unused before the first command", l.Start)
		line("unused after the last command", l.End)
		line("unused: no command there, and none waits", l.Nothing)
		line("unused: no command there, and some wait", l.Waiting)
		line("unused although a command is there", l.Within)
		if lim := boundOf(limits, scenario); lim.Work > 0 {
			scaled := lim.Bound * (l.Here + l.There + l.Kept) / (lim.Work - lim.Make*float64(len(b.Each)))
			p("\nThe commands took %.1f CPU s in this build and %.1f in the recorded one; for as many as in this the bound is %.1f s, and the build took %.2f times as long.\n",
				l.Here+l.There+l.Kept, lim.Work, scaled, b.Elapsed/scaled)
		}
		p("\n%d commands: %s. Waits for a slot: median %.0f ms, nine tenths %.0f ms, most %.0f ms. ", l.Commands, byNode(l.Nodes), l.Waits[0], l.Waits[1], l.Waits[2])
		if len(l.Sleeps) > 0 {
			p("A command elsewhere took longer than its CPU time at that host's speed by %.0f ms in the median, by %.0f ms for nine tenths. ", l.Sleeps[0], l.Sleeps[1])
		}
		if len(l.Short) > 0 {
			p("Commands of less than 5 ms of CPU took %.0f ms there in the median, %.0f ms for nine tenths. ", l.Short[0], l.Short[1])
		}
		p("Hosts had used up their quota, and had more to do, for %s s (node 1 first; each CPU of the machine counts).\n\n", list(b.Throttled))
		p("The last to end:\n\n")
		for _, line := range l.Slowest {
			p("- %s\n", line)
		}
		p("\n")
	}
	return s.String()
}

func byNode(nodes map[string]int) string {
	var each []string
	for _, n := range slices.Sorted(maps.Keys(nodes)) {
		each = append(each, fmt.Sprintf("%s %d", n, nodes[n]))
	}
	return strings.Join(each, ", ")
}

func list(of []float64) string {
	var each []string
	for _, x := range of {
		each = append(each, fmt.Sprintf("%.0f", x))
	}
	return strings.Join(each, ", ")
}

// trials are the builds with labels.
func trials(builds []build, limits []limit) string {
	var s strings.Builder
	fmt.Fprintf(&s, "| what | scenario | system | builds | elapsed | to the bound | CPU of all | CPU of home | unused, some wait | CPU of others |\n|---|---|---|---:|---:|---:|---:|---:|---:|---:|\n")
	type key struct{ label, scenario, system string }
	var order []key
	of := map[key][]build{}
	for _, b := range builds {
		if b.Label == "" {
			continue
		}
		k := key{b.Label, b.Scenario, b.System}
		if of[k] == nil {
			order = append(order, k)
		}
		of[k] = append(of[k], b)
	}
	for _, k := range order {
		bs := of[k]
		waiting := "–"
		if l := bs[len(bs)-1].Loss; l != nil {
			waiting = fmt.Sprintf("%.1f %%", 100*l.Waiting/l.Offered)
		}
		elapsed := median(bs, func(b build) float64 { return b.Elapsed })
		fmt.Fprintf(&s, "| %s | %s | %s | %d | %.1f s | %.2f | %.1f s | %.1f s | %s | %.1f s |\n", k.label, k.scenario, k.system, len(bs), elapsed, elapsed/boundOf(limits, k.scenario).Bound,
			median(bs, func(b build) float64 { return b.CPU }), median(bs, func(b build) float64 { return b.Used[0] }), waiting, median(bs, func(b build) float64 { return b.Others }))
	}
	if len(order) == 0 {
		return "None yet.\n"
	}
	return s.String()
}
