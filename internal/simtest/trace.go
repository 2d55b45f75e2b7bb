package simtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// Line is one job of a recorded trace, a line of JSON: when it came, counted from the first, how long it ran, what it used, and whose it was.
type Line struct {
	At     time.Duration `json:"at"`     // ns since the first
	Wall   time.Duration `json:"wall"`   // ns
	CPU    time.Duration `json:"cpu"`    // ns
	Memory int64         `json:"memory"` // bytes, at the peak
	Build  string        `json:"build"`
	Kind   string        `json:"kind"`
}

// ReadTrace reads a trace, which may be out of order.
func ReadTrace(r io.Reader) ([]Line, error) {
	var lines []Line
	in := bufio.NewScanner(r)
	for n := 1; in.Scan(); n++ {
		if len(in.Bytes()) == 0 {
			continue
		}
		var l Line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("trace, line %d: %w", n, err)
		}
		lines = append(lines, l)
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("trace: no job in it")
	}
	slices.SortStableFunc(lines, func(a, b Line) int { return int(a.At - b.At) })
	return lines, in.Err()
}

// Traced makes sizes of a trace. What a job takes is its CPU time, where it has one: its wall time holds what it waited for on the machine
// on which it was recorded.
func Traced(name string, lines []Line) Sizes {
	all := make([]Size, len(lines))
	for i, l := range lines {
		work := l.CPU
		if work == 0 {
			work = l.Wall
		}
		all[i] = Size{max(work, 100*time.Microsecond), l.Memory, l.Kind}
	}
	s := newSizes(name, all)
	s.trace, s.usual = lines, map[string]time.Duration{}
	runs := map[string]int{}
	for _, z := range all {
		runs[z.Kind]++
		s.usual[z.Kind] += (z.Work - s.usual[z.Kind]) / time.Duration(runs[z.Kind])
	}
	return s
}
