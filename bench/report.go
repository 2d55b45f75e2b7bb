package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"mexec/bench/machine"
)

// report is all that was measured; the first result of a race is the plain way that the others are compared with.
type report struct {
	one, many []result
	stub      memory
	soak      []daemon
}

func (r *report) markdown(o options) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("# What mexec costs\n\n")
	p("`make bench` made this file. Read the ratios: absolute times belong to the machine, here %s, %s. Two test hosts, that is two\n", machine.String(), runtime.Version())
	p("network namespaces with a mexecd each, share all its cores. Medians of %d rounds in which the contestants take turns.\n", o.rounds)

	p("\n## One command after the other\n\n| | each | ratio |\n|---|---:|---:|\n")
	for _, x := range r.one {
		p("| %s | %v | %.2f |\n", x.name, x.each.Round(time.Microsecond), ratio(x, r.one[0]))
	}
	p("\n## %d in flight\n\n| | commands/s | ratio |\n|---|---:|---:|\n", inflight)
	for _, x := range r.many {
		p("| %s | %.0f | %.2f |\n", x.name, time.Second.Seconds()/x.each.Seconds(), ratio(r.many[0], x))
	}
	p("\n## A waiting stub\n\n%d KiB resident, %d KiB of them its own.\n", r.stub.resident, r.stub.private)
	if len(r.soak) > 0 {
		p("\n## The daemons over %d commands, %d in flight\n\n| daemon | after | resident KiB | descriptors | threads |\n|---|---:|---:|---:|---:|\n", o.soak, inflight)
		for _, d := range r.soak {
			p("| %s | %d | %d | %d | %d |\n", d.host, d.after, d.resident, d.descriptors, d.threads)
		}
		p("\nA worker keeps a control group, which is two descriptors, for each of the most commands that ever ran at once there.\n")
	}
	return b.String()
}

func ratio(x, y result) float64 { return x.each.Seconds() / y.each.Seconds() }
