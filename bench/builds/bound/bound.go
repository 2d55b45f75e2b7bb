// Package bound says how long a build must take on a set of hosts, if nothing but its own work took time: a greedy list schedule of tasks whose CPU time and
// whose predecessors are known. It is what a placement that knows all and costs nothing would reach, or nearly: an optimal schedule is hard to find, and a greedy
// one is at most twice as long (Graham 1969), for such graphs a few percent.
//
// It is pure: the same tasks and hosts give the same time. Sending a command, reading a file and starting a process cost nothing here.
package bound

import (
	"cmp"
	"slices"
	"time"
)

// A Task is one recipe, or the part of a make that nothing may overtake.
type Task struct {
	Name  string
	CPU   time.Duration
	After []int // the tasks, by index, that must have ended; none of them stands for itself, directly or not
}

// A Host runs tasks, Slots of them at once. Its speed, in CPU seconds per second, is shared evenly among them; none gets more than one CPU.
type Host struct {
	Speed float64
	Slots int
}

func (h Host) rate(tasks int) float64 { return min(1, h.Speed/float64(max(1, tasks))) }

// Schedule is the least time of the greedy schedules: with the task first that has the longest path behind it, and in the order of the tasks, which is make's own; each
// with hosts that take what they can get, and with tasks that rather wait for a faster host where they end earlier so.
func Schedule(tasks []Task, hosts []Host) time.Duration {
	var least time.Duration
	path := paths(tasks)
	longest := func(a, b int) int { return cmp.Or(cmp.Compare(path[b], path[a]), cmp.Compare(a, b)) }
	for _, order := range []func(a, b int) int{longest, cmp.Compare[int]} {
		for _, patient := range []bool{false, true} {
			if t := newRun(tasks, hosts, order, patient).run(); least == 0 || t < least {
				least = t
			}
		}
	}
	return least
}

// Path is the longest chain of tasks at a speed of one CPU, and Work is what all of them take. No schedule on hosts of the speeds s is
// shorter than Path/max(s) or Work/sum(s).
func Path(tasks []Task) time.Duration { return slices.Max(append(paths(tasks), 0)) }

func Work(tasks []Task) (sum time.Duration) {
	for _, t := range tasks {
		sum += t.CPU
	}
	return sum
}

// paths are the longest ways from the start of each task to the end of the build.
func paths(tasks []Task) []time.Duration {
	next := successors(tasks)
	path := make([]time.Duration, len(tasks))
	known := make([]bool, len(tasks))
	var of func(i int) time.Duration
	of = func(i int) time.Duration {
		if !known[i] {
			var longest time.Duration
			for _, n := range next[i] {
				longest = max(longest, of(n))
			}
			path[i], known[i] = tasks[i].CPU+longest, true
		}
		return path[i]
	}
	for i := range tasks {
		of(i)
	}
	return path
}

func successors(tasks []Task) [][]int {
	next := make([][]int, len(tasks))
	for i, t := range tasks {
		for _, before := range t.After {
			next[before] = append(next[before], i)
		}
	}
	return next
}

// run is one schedule in the making.
type run struct {
	tasks   []Task
	hosts   []Host
	fastest []int // hosts by speed
	order   func(a, b int) int
	patient bool

	next  [][]int
	left  []int // predecessors that have not ended
	ready []int // in order
	busy  [][]running
	now   float64 // seconds
}

type running struct {
	task int
	left float64 // CPU seconds
}

func newRun(tasks []Task, hosts []Host, order func(a, b int) int, patient bool) *run {
	r := &run{tasks: tasks, hosts: hosts, order: order, patient: patient, next: successors(tasks), left: make([]int, len(tasks)), busy: make([][]running, len(hosts))}
	for i, t := range tasks {
		if r.left[i] = len(t.After); r.left[i] == 0 {
			r.ready = append(r.ready, i)
		}
	}
	slices.SortFunc(r.ready, order)
	for i := range hosts {
		r.fastest = append(r.fastest, i)
	}
	slices.SortStableFunc(r.fastest, func(a, b int) int { return cmp.Compare(hosts[b].Speed, hosts[a].Speed) })
	return r
}

func (r *run) run() time.Duration {
	for r.start(); r.step(); r.start() {
	}
	return time.Duration(r.now * float64(time.Second))
}

// start gives free slots to tasks that are ready, in order.
func (r *run) start() {
	r.ready = slices.DeleteFunc(r.ready, func(task int) bool {
		h := r.host(task)
		if h < 0 {
			return false
		}
		r.busy[h] = append(r.busy[h], running{task, r.tasks[task].CPU.Seconds()})
		return true
	})
}

// host is the one that a task starts on now: of those with a free slot the one that gives it the most; -1: it waits.
func (r *run) host(task int) int {
	best, speed := -1, 0.0
	for _, h := range r.fastest {
		if n := len(r.busy[h]); n < r.hosts[h].Slots {
			if s := r.hosts[h].rate(n + 1); s > speed {
				best, speed = h, s
			}
		}
	}
	if best < 0 || !r.patient {
		return best
	}
	cpu := r.tasks[task].CPU.Seconds()
	for _, h := range r.fastest {
		if n := len(r.busy[h]); n == r.hosts[h].Slots && r.soonest(h)+cpu/r.hosts[h].rate(n) < cpu/speed {
			return -1
		}
	}
	return best
}

// soonest is when the first of a host's tasks ends, from now.
func (r *run) soonest(h int) float64 {
	first := r.busy[h][0].left
	for _, t := range r.busy[h] {
		first = min(first, t.left)
	}
	return first / r.hosts[h].rate(len(r.busy[h]))
}

// step goes on to the next end of a task. It reports false when none runs.
func (r *run) step() bool {
	wait := -1.0
	for h, tasks := range r.busy {
		if len(tasks) > 0 {
			if s := r.soonest(h); wait < 0 || s < wait {
				wait = s
			}
		}
	}
	if wait < 0 {
		return false
	}
	r.now += wait
	for h, tasks := range r.busy {
		done := wait * r.hosts[h].rate(len(tasks))
		r.busy[h] = slices.DeleteFunc(tasks, func(t running) bool { return t.left-done < 1e-9 && r.end(t.task) })
		for i := range r.busy[h] {
			r.busy[h][i].left -= done
		}
	}
	return true
}

func (r *run) end(task int) bool {
	for _, n := range r.next[task] {
		if r.left[n]--; r.left[n] == 0 {
			at, _ := slices.BinarySearchFunc(r.ready, n, r.order)
			r.ready = slices.Insert(r.ready, at, n)
		}
	}
	return true
}
