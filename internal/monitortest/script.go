// Package monitortest writes the events of a build as lines that a person can read, for the tests of what is made of them.
//
//	0s   cluster room=12 node1*:4 node2:4 node3:4:down
//	0.1s received 1 pid=100 cc -c a.c
//	0.2s starts 1 node2 first free slot
//	3s   ended 1 user=2.5s sys=0.1s rss=2048 code=1
//	3s   waits 2 not the same directory
//	3s   kept pid=101 why=policy git describe
//	3s   reaped pid=101 user=0.1s
//
// Times count from the begin of the build. The star marks the home node. Of a job without a pid it is 1000 and its number.
package monitortest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"mexec"
)

// Began is when the builds of the scripts begin.
var Began = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// Event reads one line.
func Event(line string) (e mexec.Event, err error) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return e, fmt.Errorf("event %q: no kind", line)
	}
	at, err := time.ParseDuration(words[0])
	if err != nil {
		return e, fmt.Errorf("event %q: %w", line, err)
	}
	e.At, e.Kind = Began.Add(at), mexec.EventKind(words[1])
	words = words[2:]
	if len(words) > 0 {
		if id, err := strconv.ParseUint(words[0], 10, 64); err == nil {
			e.Job, e.PID = mexec.JobID(id), 1000+int(id)
			words = words[1:]
		}
	}
	var text []string
	for _, w := range words {
		name, value, valued := strings.Cut(w, "=")
		var span time.Duration
		switch {
		case len(text) > 0 && e.Kind != mexec.Cluster, !valued:
			text = append(text, w)
			continue
		case name == "user" || name == "sys":
			if span, err = time.ParseDuration(value); name == "user" {
				e.Usage.User = span
			} else {
				e.Usage.System = span
			}
		case name == "late":
			e.Late, err = time.ParseDuration(value)
		case name == "source":
			e.Source = value
		case name == "dir":
			e.Dir = value
		case name == "why":
			e.Why = strings.ReplaceAll(value, "_", " ")
		case name == "rss":
			e.Usage.MaxRSS, err = strconv.ParseInt(value, 10, 64)
		case name == "pid":
			e.PID, err = strconv.Atoi(value)
		case name == "code":
			e.Status.Code, err = strconv.Atoi(value)
		case name == "room":
			e.Room, err = strconv.Atoi(value)
		default:
			text = append(text, w)
		}
		if err != nil {
			return e, fmt.Errorf("event %q: %w", line, err)
		}
	}
	switch e.Kind {
	case mexec.Received, mexec.Kept:
		e.Command = strings.Join(text, " ")
	case mexec.Starts:
		e.Node, e.Why = mexec.NodeID(text[0]), strings.Join(text[1:], " ")
	case mexec.Waits, mexec.Lost, mexec.Gap:
		e.Why = strings.Join(text, " ")
	case mexec.Cluster:
		for i, w := range text {
			n, err := node(i+1, w)
			if err != nil {
				return e, fmt.Errorf("event %q: %w", line, err)
			}
			e.Nodes = append(e.Nodes, n)
		}
	}
	return e, nil
}

func node(number int, w string) (n mexec.Node, err error) {
	part := strings.Split(w, ":")
	n = mexec.Node{Number: number, State: mexec.Up}
	if len(part) > 1 {
		if n.Slots, err = strconv.Atoi(part[1]); err != nil {
			return n, err
		}
	}
	if len(part) > 2 {
		n.State = mexec.NodeState(part[2])
	}
	name, home := strings.CutSuffix(part[0], "*")
	n.Name = mexec.NodeID(name)
	if home {
		n.State = mexec.Self
	}
	return n, nil
}

// Events reads many.
func Events(text string) (all []mexec.Event, err error) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := Event(line)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}
