package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// loss says where the hosts' CPU time went in a build by mexec that the build's own commands did not get. CPU and host seconds are those of the quota: a host of
// 0.2 CPUs that did nothing for 10 s has lost 2 CPU seconds.
type loss struct {
	Commands int     // that were placed
	Here     float64 // CPU seconds of those of them that ran at home
	There    float64 // and elsewhere
	Kept     float64 // of what stayed with make, without a slot
	Home     float64 // what the home used beyond its jobs and its daemon: make, the stubs, mpmake
	Daemons  float64 // of mexecd, elsewhere
	Workers  float64 // what the others used beyond their jobs and daemons: stages, and what the account of a job does not see

	Offered float64 // CPU seconds that all quotas allowed, from beginning to end
	Unused  float64 // of these
	Start   float64 // of the unused, before the first command ran
	End     float64 // after the last one ended
	Nothing float64 // hosts without a command while none waited: make had no more to give
	Waiting float64 // hosts without a command while some waited
	Within  float64 // hosts with a command that did not use what it could: it waited for the disk, the network, or was on its way

	Waits   []float64      // how long commands waited for a slot: median, nine tenths, most, in milliseconds
	Sleeps  []float64      // wall beyond what the CPU time takes at the host's speed, per command placed elsewhere: median, nine tenths, in milliseconds
	Short   []float64      // wall of the commands placed elsewhere that took less than 5 ms of CPU: sending and waiting for the quotas, median, nine tenths, most
	Slowest []string       // the commands that ended last
	Nodes   map[string]int // commands by node
}

type span struct {
	name, node          string
	from, to, asked     time.Duration
	cpu                 float64
	placed              bool
	command, why, state string
}

// loss reads the trace that mpmake has written, beside what the hosts' accounts said meanwhile.
func (g *ground) loss(trace string, samples []sample, b build) (*loss, error) {
	spans, err := readTrace(trace)
	if err != nil {
		return nil, err
	}
	l := &loss{Nodes: map[string]int{}}
	home := g.hosts.All[0].Name
	var waits, sleeps, short []float64
	first, last := time.Hour, time.Duration(0)
	speed := map[string]float64{}
	for i, h := range g.hosts.All {
		speed[h.Name] = g.speed[i]
	}
	for _, s := range spans {
		if !s.placed {
			l.Kept += s.cpu
			continue
		}
		l.Commands++
		l.Nodes[s.node]++
		first, last = min(first, s.from), max(last, s.to)
		waits = append(waits, ms(s.from-s.asked))
		if s.node == home {
			l.Here += s.cpu
		} else {
			l.There += s.cpu
			sleeps = append(sleeps, ms(s.to-s.from)-s.cpu/speed[s.node]*1000)
			if s.cpu < 0.005 {
				short = append(short, ms(s.to-s.from))
			}
		}
	}
	for i, used := range b.Used {
		if i == 0 {
			l.Home = used - b.Daemons[i] - l.Here - l.Kept
		} else {
			l.Daemons += b.Daemons[i]
			l.Workers += used - b.Daemons[i]
		}
		l.Offered += g.speed[i] * b.Elapsed
	}
	l.Workers -= l.There
	l.Waits, l.Sleeps, l.Short = quantiles(waits), quantiles(sleeps), quantiles(short)
	l.unused(g, spans, samples, first, last)
	slices.SortFunc(spans, func(a, b span) int { return int(b.to - a.to) })
	for _, s := range spans[:min(12, len(spans))] {
		l.Slowest = append(l.Slowest, fmt.Sprintf("%s %.2f-%.2f s, CPU %.2f s, %s, %s", s.node, s.from.Seconds(), s.to.Seconds(), s.cpu, brief(s.command), s.why))
	}
	return l, nil
}

func brief(command string) string {
	if f := strings.Fields(command); len(f) > 3 {
		for i, w := range f {
			if w == "-o" && i+1 < len(f) {
				return f[0] + " … -o " + f[i+1]
			}
		}
		return strings.Join(f[:3], " ") + " …"
	}
	return command
}

// unused says of each moment and host why the host's quota was not used up.
func (l *loss) unused(g *ground, spans []span, samples []sample, first, last time.Duration) {
	for i := 1; i < len(samples); i++ {
		from, to := samples[i-1].at, samples[i].at
		middle := (from + to) / 2
		waiting := false
		busy := map[string]bool{}
		for _, s := range spans {
			if s.placed && s.from <= middle && middle < s.to {
				busy[s.node] = true
			}
			waiting = waiting || s.placed && s.asked <= middle && middle < s.from
		}
		for h, host := range g.hosts.All {
			free := g.speed[h]*(to-from).Seconds() - (samples[i].used[h] - samples[i-1].used[h]).Seconds()
			l.Unused += free // below zero where a period's quota is booked to the next sample
			switch {
			case middle < first:
				l.Start += free
			case middle > last:
				l.End += free
			case busy[host.Name]:
				l.Within += free
			case waiting:
				l.Waiting += free
			default:
				l.Nothing += free
			}
		}
	}
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// quantiles are the median, nine tenths, and the most.
func quantiles(of []float64) []float64 {
	if len(of) == 0 {
		return nil
	}
	slices.Sort(of)
	return []float64{of[len(of)/2], of[len(of)*9/10], of[len(of)-1]}
}

// readTrace reads the file that MEXEC_TRACE has named: a process for each node, and a slice for each command.
func readTrace(name string) ([]span, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var trace struct {
		TraceEvents []struct {
			Name, Cat, Ph string
			Pid           int
			At            float64 `json:"ts"`
			Length        float64 `json:"dur"`
			Args          struct {
				Name, Why, Command, Status string
				CPU                        float64 `json:"cpu_s"`
				Waited                     float64 `json:"waited_s"`
			}
		}
	}
	if err := json.Unmarshal(text, &trace); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	nodes := map[int]string{}
	var spans []span
	for _, e := range trace.TraceEvents {
		switch {
		case e.Ph == "M" && e.Name == "process_name":
			nodes[e.Pid] = e.Args.Name
		case e.Ph == "X":
			from := time.Duration(e.At * 1000)
			spans = append(spans, span{name: e.Name, node: nodes[e.Pid], from: from, to: from + time.Duration(e.Length*1000), cpu: e.Args.CPU,
				asked: from - time.Duration(e.Args.Waited*float64(time.Second)), placed: e.Cat == "placed", command: e.Args.Command, why: e.Args.Why, state: e.Args.Status})
		}
	}
	return spans, nil
}
