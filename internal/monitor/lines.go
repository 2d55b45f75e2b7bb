package monitor

import (
	"fmt"
	"strings"
	"time"
)

// Style is what a terminal can show.
type Style struct {
	ASCII bool // and no other characters
	Color bool
}

// Lines are the block at the bottom of a terminal of that size: what there is of commands, a bar for each node, what has run longest. How many they are
// depends on the size and on the nodes only, so that the block does not jump; none is wider than the terminal.
func (m *Model) Lines(name string, width, height int, style Style, expect Expect, now time.Time) []string {
	dots, full, empty, rule := "…", "█", "░", "─"
	if style.ASCII {
		dots, full, empty, rule = "...", "#", ".", "-"
	}
	lines := []string{m.head(name, width, style, rule, dots, expect, now)}
	lines = append(lines, m.bars(width, max(1, height/6), full, empty, dots)...)
	longest := m.Longest(max(1, min(4, height/12)))
	for i := range max(1, min(4, height/12)) {
		line := ""
		if i < len(longest) {
			c := longest[i]
			line = fmt.Sprintf("%8s  ", seconds(c.Took(now)))
			if c.Node != "" {
				line += plain(string(c.Node)) + "  "
			}
			line = cut(line+plain(c.Text), width, dots)
		}
		lines = append(lines, line)
	}
	if style.ASCII {
		for i, line := range lines {
			lines[i] = ascii(line)
		}
	}
	return lines
}

func (m *Model) head(name string, width int, style Style, rule, dots string, expect Expect, now time.Time) string {
	text := fmt.Sprintf("%s: %s", name, m.counts())
	if m.Failed > 0 {
		text += fmt.Sprintf(", %d failed", m.Failed)
	}
	if m.LostN > 0 {
		text += fmt.Sprintf(", %d lost", m.LostN)
	}
	elapsed := now.Sub(m.Began)
	text += ", " + clock(elapsed)
	if left, ok := expect.Left(m.Ended, elapsed); ok {
		text += ", about " + clock(left) + " left"
	}
	text = cut(text, max(0, width-4), dots)
	line := strings.Repeat(rule, 2) + " " + text + " "
	tail := strings.Repeat(rule, max(0, width-columns(line)))
	if style.Color {
		return "\x1b[2m" + strings.Repeat(rule, 2) + "\x1b[0;1m " + text + " \x1b[0;2m" + tail + "\x1b[0m"
	}
	return cut(line+tail, width, "")
}

func (m *Model) counts() string {
	return fmt.Sprintf("%d done, %d running, %d waiting", m.Ended, m.Running, m.Waiting)
}

// bars shows the nodes that may run commands or do, side by side where there is room. Those that have none share the last place.
func (m *Model) bars(width, rows int, full, empty, dots string) []string {
	const (
		bar = 16
		gap = "   "
	)
	var nodes []*Node
	name := 5
	for _, n := range m.Nodes() {
		if n.Up || n.Running > 0 {
			nodes = append(nodes, n)
			name = max(name, min(16, columns(plain(string(n.Name)))))
		}
	}
	cell := name + 1 + bar + 1 + len("999/999")
	places := max(1, (width+len(gap))/(cell+len(gap)))
	rows = min(rows, (len(nodes)+places-1)/places)
	var lines []string
	for row := range rows {
		var line []string
		for place := range places {
			i := row*places + place
			if i >= len(nodes) {
				break
			}
			if last := row == rows-1 && place == places-1; last && len(nodes) > i+1 {
				running, slots := 0, 0
				for _, n := range nodes[i:] {
					running += n.Running
					slots += n.Slots
				}
				line = append(line, cut(fmt.Sprintf("%d more nodes: %d/%d", len(nodes)-i, running, slots), cell, dots))
				break
			}
			n := nodes[i]
			filled := 0
			if n.Slots > 0 {
				filled = min(bar, (n.Running*bar+n.Slots-1)/n.Slots)
			}
			line = append(line, pad(cut(plain(string(n.Name)), name, dots), name)+" "+
				strings.Repeat(full, filled)+strings.Repeat(empty, bar-filled)+" "+pad(fmt.Sprintf("%d/%d", n.Running, n.Slots), len("999/999")))
		}
		lines = append(lines, cut(strings.TrimRight(strings.Join(line, gap), " "), width, dots))
	}
	return lines
}

// ascii is for terminals that would show something else in place of other characters.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, s)
}

// Progress is one line for where no block can be shown.
func (m *Model) Progress(name string, now time.Time) string {
	on := 0
	for _, n := range m.nodes {
		if n.Running > 0 {
			on++
		}
	}
	return fmt.Sprintf("%s: %d done, %d running on %s, %d waiting, %.0f s", name, m.Ended, m.Running, plural(on, "node"), m.Waiting, now.Sub(m.Began).Seconds())
}
