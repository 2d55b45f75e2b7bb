package monitor

import (
	"strings"
	"time"

	"mexec"
)

// JobLine is one job as a recorded trace has it, a line of JSON: the simulation of placement reads them. Times are in nanoseconds, At counts from the
// begin of the trace.
type JobLine struct {
	At      time.Duration `json:"at"` // when it was asked for
	Wall    time.Duration `json:"wall"`
	CPU     time.Duration `json:"cpu"`    // 0: not known
	Memory  int64         `json:"memory"` // bytes, of its largest process; 0: not known
	Build   string        `json:"build"`
	Kind    string        `json:"kind"` // those of one kind are likely to take as long as each other
	Command string        `json:"command"`
	Node    mexec.NodeID  `json:"node"`
}

// manyTraced bounds the commands of which a model has a line.
const manyTraced = 20000

// trace remembers a command that ended.
func (m *Model) trace(c *Command) {
	if len(m.traced) < manyTraced {
		m.traced = append(m.traced, c)
	}
}

// JobLines are the commands that were placed and ended, in that order; of a build with very many the first ones.
func (m *Model) JobLines(build mexec.BuildID) []JobLine {
	lines := make([]JobLine, 0, len(m.traced))
	for _, c := range m.traced {
		lines = append(lines, JobLine{
			At: max(0, c.Asked.Sub(m.Began)), Wall: c.Took(c.End), CPU: cpu(c.Usage), Memory: c.Usage.MaxRSS << 10,
			Build: string(build), Kind: Kind(c.Text), Command: valid(c.Text), Node: c.Node,
		})
	}
	return lines
}

// Kind is what commands have in common that are likely to take as long as each other, as far as their text tells: the program and the names of its options.
// The kinds by which mexec itself learns are told where a command is started, of all of its arguments (libmexec/kind.c).
func Kind(command string) string {
	kind := []string{Program(command)}
	for word := range strings.FieldsSeq(short(command)) {
		if len(word) < 2 || word[0] != '-' || len(kind) > 8 {
			continue
		}
		name, _, _ := strings.Cut(word, "=")
		if name[1] != '-' {
			name = name[:2] // what follows is its value: -O2, -Idir
		}
		if name = valid(name); kind[len(kind)-1] != name {
			kind = append(kind, name)
		}
	}
	return strings.Join(kind, " ")
}
