package simtest

import (
	"fmt"
	"time"

	"mexec/internal/place"
)

// Shape is what a run is about, all but its seed and its scheduler.
type Shape struct {
	Name  string
	Nodes int
	Slots int // of each node
	Homes int // nodes that submit jobs; they are workers as well
	Users int // of all homes together, dealt out in turn; 0: one for each home

	Sizes Sizes
	Load  float64 // of the cluster's capacity, by jobs that come whenever they like (an open loop)
	Batch int     // how many come together; 0: one
	Jobs  int     // in each home's build instead (a closed loop), Wide at a time
	Wide  int
	Long  int // each other user's jobs take so many times as long; 0: all alike

	Slow   int   // each Slow-th node has a quarter of the speed; 0: none
	Memory int64 // of each node; 0: not counted
	Known  bool  // whether it is known what a job's kind has taken
	Net    Network
	Faults []Fault
	Joins  int // nodes that are there from the begin, others join half way through Warm; 0: all

	Warm, Measure time.Duration
}

// Fault is something that breaks and is mended.
type Fault struct {
	At, For time.Duration
	Kind    faultKind
	Nodes   int // how many, the last ones
}

type faultKind int

const (
	crash     faultKind = iota // the nodes stop, and start anew knowing nothing
	partition                  // the nodes and the others can't reach each other
	slow                       // the nodes run at a tenth of the speed
)

func (k faultKind) String() string { return [...]string{"crash", "partition", "slow"}[k] }

func (s Shape) users() int {
	if s.Users == 0 {
		return s.Homes
	}
	return s.Users
}

// speed of a node.
func (s Shape) speed(node int) float64 {
	if s.Slow > 0 && node%s.Slow == s.Slow-1 {
		return 0.25
	}
	return 1
}

// capacity is the work that all nodes do in a second, in seconds.
func (s Shape) capacity() float64 {
	sum := 0.0
	for n := range s.Nodes {
		sum += s.speed(n) * float64(s.Slots)
	}
	return sum
}

func (s Shape) String() string {
	load := fmt.Sprintf("%.0f %% load", 100*s.Load)
	if s.Load == 0 {
		load = fmt.Sprintf("builds of %d jobs, -j%d", s.Jobs, s.Wide)
	}
	return fmt.Sprintf("%d nodes of %d slots, %d homes, %s, %s", s.Nodes, s.Slots, s.Homes, s.Sizes.Name, load)
}

// excused is how long a slot may stay idle while a job waits for it, at most. A home that has no link to the node makes one, which is three round
// trips and what keys cost; then it asks, is granted and starts, three ways; a millisecond is for what is due at the same moment. Before that it may have
// asked others in vain, which of many nodes are so many rounds: each asks twice as many as all before, until there is no other node.
func (s Shape) excused() time.Duration {
	n := s.Net
	if n == (Network{}) {
		n = LAN
	}
	return 9*n.Most + n.Dial + time.Millisecond + time.Duration(s.rounds())*place.Patience
}

// rounds is how many it takes to ask every node, from two in the first.
func (s Shape) rounds() (n int) {
	for asked := 2; asked < s.Nodes; asked *= 2 {
		n++
	}
	return n
}
