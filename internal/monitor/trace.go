package monitor

import (
	"encoding/json"
	"io"
	"slices"
	"time"
)

// traceEvent is one of the trace event format, which Perfetto and chrome://tracing read. Its times are microseconds.
type traceEvent struct {
	Name     string         `json:"name"`
	Category string         `json:"cat,omitempty"`
	Phase    string         `json:"ph"`
	Process  int            `json:"pid"`
	Thread   int            `json:"tid"`
	At       int64          `json:"ts"`
	Length   *int64         `json:"dur,omitempty"`
	Args     map[string]any `json:"args,omitempty"`
}

// Trace writes a build that kept its commands and is over: each node is a process, with a thread for each command that ran at once; process 0 counts
// what ran, and what there was room for.
func (m *Model) Trace(w io.Writer, t Total) error {
	p := m.picture(m.Began.Add(t.Elapsed))
	events := []traceEvent{{Name: "process_name", Phase: "M", Args: map[string]any{"name": t.Name}}}
	for i, n := range p.nodes {
		events = append(events,
			traceEvent{Name: "process_name", Phase: "M", Process: i + 1, Args: map[string]any{"name": valid(string(n.Name))}},
			traceEvent{Name: "process_sort_index", Phase: "M", Process: i + 1, Args: map[string]any{"sort_index": i + 1}})
	}
	for _, s := range p.spans {
		length := (s.to - s.from).Microseconds()
		args := map[string]any{
			"command": valid(s.Text), "directory": valid(s.Dir), "status": ending(s.Command), "why": valid(s.Why),
			"cpu_s": cpu(s.Usage).Seconds(), "max_rss_kib": s.Usage.MaxRSS,
		}
		if wait := s.from - s.asked; wait > time.Millisecond {
			args["waited_s"] = wait.Seconds()
		}
		category := "placed"
		if s.Kept {
			category = "kept"
		}
		events = append(events, traceEvent{Name: valid(Program(s.Text)), Category: category, Phase: "X", Process: s.node + 1, Thread: s.lane + 1,
			At: s.from.Microseconds(), Length: &length, Args: args})
	}
	for _, c := range p.running() {
		events = append(events, traceEvent{Name: "running", Phase: "C", At: c.at.Microseconds(), Args: map[string]any{"commands": c.n}})
	}
	for _, r := range m.Rooms {
		events = append(events, traceEvent{Name: "room", Phase: "C", At: max(0, r.At.Sub(m.Began)).Microseconds(), Args: map[string]any{"commands": r.N}})
	}
	return json.NewEncoder(w).Encode(map[string]any{"displayTimeUnit": "ms", "traceEvents": events})
}

// level is how many commands ran from a moment on.
type level struct {
	at time.Duration
	n  int
}

func (p picture) running() []level {
	var changes []level
	for _, s := range p.spans {
		changes = append(changes, level{s.from, 1}, level{s.to, -1})
	}
	slices.SortStableFunc(changes, func(a, b level) int { return int(a.at - b.at) })
	var levels []level
	n := 0
	for _, c := range changes {
		n += c.n
		if last := len(levels) - 1; last >= 0 && levels[last].at == c.at {
			levels[last].n = n
		} else {
			levels = append(levels, level{c.at, n})
		}
	}
	return levels
}

// ending is how a command ended, in words.
func ending(c *Command) string {
	switch {
	case c.Outcome == Lost:
		return "lost"
	case c.Outcome == Done:
		return c.Status.String()
	}
	return "still running"
}
