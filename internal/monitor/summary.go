package monitor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mexec"
)

// Total is what is known of a build when it is over, besides its events.
type Total struct {
	Name    string
	Elapsed time.Duration
	Here    time.Duration // CPU of the tool and of all that it has waited for on this node

	// By the books of the daemons, which count what had ended before anybody listened. One that is gone has taken its book along.
	Started map[mexec.NodeID]int
	Lost    int
	Reruns  int
}

// CPU is what the build has used on all nodes.
func (m *Model) CPU(t Total) time.Duration { return m.There + t.Here }

// What a line more has to be worth.
const (
	worthCPU   = 5 * time.Second  // of a build that is worth a look at its time
	worthSlow  = 4                // a command that took more than the fourth part of the build
	worthStay  = 20               // what stayed took more than the twentieth part of the CPU time
	worthWords = 10 * time.Second // of a shorter build, what its commands have said of their trouble is still to be seen
)

// Summary is what to say of a build that is over: five lines at most, the first always where there was a command, the others where they say something.
func (m *Model) Summary(t Total) []string {
	var lines []string
	say := func(format string, args ...any) {
		lines = append(lines, t.Name+": "+fmt.Sprintf(format, args...))
	}
	if line := m.where(t); line != "" {
		say("%s in %.1f s: %s", plural(m.started(t), "command"), t.Elapsed.Seconds(), line)
	}
	if all := m.CPU(t); all >= max(worthCPU, t.Elapsed) && m.started(t) > 0 {
		why := ""
		if m.There == 0 && len(m.nodes) > 1 {
			why = " (mexecctl why --last-build says why)"
		}
		say("%s of CPU time, %.0f %% of it on other nodes%s: %.1f times as fast as one CPU", seconds(all), 100*m.There.Seconds()/all.Seconds(), why, all.Seconds()/t.Elapsed.Seconds())
	}
	if line := m.stayed(t); line != "" {
		say("%s", line)
	}
	if line := m.slowest(t); line != "" {
		say("slowest: %s", line)
	}
	if line := m.trouble(); line != "" && t.Elapsed >= worthWords {
		say("%s", line)
	}
	return lines
}

// started is how many commands were placed and ran.
func (m *Model) started(t Total) int {
	n := 0
	for _, started := range m.startedBy(t) {
		n += started
	}
	return n
}

func (m *Model) startedBy(t Total) map[mexec.NodeID]int {
	by := map[mexec.NodeID]int{}
	maps.Copy(by, t.Started)
	for _, n := range m.nodes {
		by[n.Name] = max(by[n.Name], n.Started)
	}
	return by
}

func (m *Model) where(t Total) string {
	var where []string
	by := m.startedBy(t)
	for _, name := range slices.Sorted(maps.Keys(by)) {
		if by[name] > 0 {
			where = append(where, fmt.Sprintf("%s %d", plain(string(name)), by[name]))
		}
	}
	const most = 12
	if len(where) > most {
		where = append(where[:most-1], fmt.Sprintf("%d other nodes", len(where)-most+1))
	}
	line := strings.Join(where, ", ")
	if lost := max(m.LostN, t.Lost); lost > 0 && line != "" {
		line += fmt.Sprintf("; %d lost", lost)
	}
	if again := max(m.Reran, t.Reruns); again > 0 && line != "" {
		line += fmt.Sprintf("; %d ran again", again)
	}
	return line
}

// stayed says which programs were kept here and what that cost, if it was much.
func (m *Model) stayed(t Total) string {
	var cost time.Duration
	var which []string
	n := 0
	for _, s := range m.Stays() {
		n += s.N
		cost += s.CPU
		if len(which) < 3 && s.CPU > 0 {
			which = append(which, fmt.Sprintf("%s %s (%d, %s)", plain(s.Program), seconds(s.CPU), s.N, plain(s.Why)))
		}
	}
	if cost < time.Second || cost*worthStay < m.CPU(t) {
		return ""
	}
	return fmt.Sprintf("%s stayed here, %s of CPU time: %s", plural(n, "command"), seconds(cost), strings.Join(which, ", "))
}

func (m *Model) slowest(t Total) string {
	if m.CPU(t) < worthCPU {
		return ""
	}
	var which []string
	for _, c := range m.Slowest {
		if took := c.Took(c.End); took*worthSlow > t.Elapsed && took >= time.Second && len(which) < 3 {
			which = append(which, fmt.Sprintf("%s %s (%s)", seconds(took), cut(plain(c.Text), 60, "…"), plain(string(c.Node))))
		}
	}
	return strings.Join(which, ", ")
}

// trouble says what was lost, ran twice or was refused.
func (m *Model) trouble() string {
	var parts []string
	if len(m.Losses) > 0 {
		first := cut(plain(m.Losses[0]), 120, "…")
		if m.LostN > 1 {
			first += fmt.Sprintf(", and %d more", m.LostN-1)
		}
		parts = append(parts, "lost: "+first)
	}
	if m.Refused > 0 {
		why, most := "", 0
		for reason, n := range m.Refusals {
			if n > most || n == most && reason < why {
				why, most = reason, n
			}
		}
		often := "once, by"
		if m.Refused > 1 {
			often = fmt.Sprintf("%d times, most often by", m.Refused)
		}
		parts = append(parts, fmt.Sprintf("refused %s %s", often, cut(plain(why), 120, "…")))
	}
	return strings.Join(parts, "; ")
}
