package monitor

import (
	"slices"

	"mexec"
)

// joins finds out which command a process was that the tool's shim has seen end.
//
// What it has is the number of the process, which the kernel gives again to another; so of several commands that had the number, the end belongs
// to the last that began before it. It may come before its command does, and for some it never comes: those are forgotten, the oldest first.
type joins struct {
	commands map[int][]*Command     // by PID, as they began
	ends     map[int][]*mexec.Event // that came before their commands
	ended    queue[*Command]
	early    queue[*mexec.Event]
}

// How many commands that ended are remembered until their process is reaped, and how many ends of processes that nobody knows yet.
const manyJoins = 4096

func newJoins() joins {
	return joins{commands: map[int][]*Command{}, ends: map[int][]*mexec.Event{}}
}

// begin makes a command known. It returns the end of its process where that came first.
func (j *joins) begin(c *Command) *mexec.Event {
	if c.PID == 0 {
		return nil
	}
	for i, e := range j.ends[c.PID] {
		if !e.At.Before(c.Asked) {
			remove(j.ends, c.PID, i+1)
			return e
		}
	}
	j.commands[c.PID] = append(j.commands[c.PID], c)
	return nil
}

// await is told that a command has ended whose process was not reaped so far. Those that are never reaped would else stay for ever.
func (j *joins) await(c *Command) {
	if old, full := j.ended.push(c); full {
		if i := slices.Index(j.commands[old.PID], old); i >= 0 {
			remove(j.commands, old.PID, i+1)
		}
	}
}

// reaped returns the command that a process was, nil while none is known.
func (j *joins) reaped(e *mexec.Event) *Command {
	all := j.commands[e.PID]
	for i := len(all) - 1; i >= 0; i-- {
		if !all[i].Asked.After(e.At) {
			c := all[i]
			remove(j.commands, e.PID, i+1)
			return c
		}
	}
	end := *e // the caller's slice is its own
	j.ends[e.PID] = append(j.ends[e.PID], &end)
	if old, full := j.early.push(&end); full {
		if ends := j.ends[old.PID]; len(ends) > 0 && ends[0] == old {
			remove(j.ends, old.PID, 1)
		}
	}
	return nil
}

// remove takes the first n of a process number away.
func remove[T any](m map[int][]T, pid, n int) {
	if n == len(m[pid]) {
		delete(m, pid)
		return
	}
	m[pid] = m[pid][n:]
}

// queue holds the last manyJoins.
type queue[T any] struct {
	ring []T
	next int
}

// push returns the one that has to go.
func (q *queue[T]) push(x T) (old T, full bool) {
	if len(q.ring) < manyJoins {
		q.ring = append(q.ring, x)
		return old, false
	}
	old, q.ring[q.next] = q.ring[q.next], x
	q.next = (q.next + 1) % manyJoins
	return old, true
}
