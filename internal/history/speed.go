package history

import (
	"math"
	"slices"
	"time"

	"mexec"
)

// speeds learns how fast nodes are, from commands that ran on two of them.
//
// A command that took 2 s on one node and 1 s on another the next time says that the other is twice as fast. What it did in between (its files were
// changed, or in memory by then; one of the two was busy) makes single ratios wrong in both directions, so the median of many counts. It is wall time, of
// commands that are busy most of it: a node that may use a fifth of a CPU takes as many CPU seconds as any.
type speeds struct {
	self  mexec.NodeID
	nodes map[mexec.NodeID]*speed
}

// speed is a node's, as a logarithm.
type speed struct {
	ratios [window]float32 // the last ones, a ring
	count  int
	log    float64 // their median
}

// where says on which node a command ran last, and how long.
type where struct {
	node mexec.NodeID
	wall float32
	busy bool
}

const (
	window = 64
	enough = 5                     // ratios, to say anything
	worth  = 20 * time.Millisecond // less is noise
	unlike = 8                     // two runs so different were not of the same work
)

func newSpeeds(self mexec.NodeID) speeds {
	return speeds{self: self, nodes: map[mexec.NodeID]*speed{}}
}

func (s *speeds) known(node mexec.NodeID) bool {
	n := s.nodes[node]
	return node == s.self || n != nil && n.count >= enough
}

func (s *speeds) of(node mexec.NodeID) float64 {
	if node == s.self || !s.known(node) {
		return 1
	}
	return math.Exp(s.nodes[node].log)
}

// ran compares a run of a command with its last one.
func (s *speeds) ran(e *entry, r Run) {
	if r.Failed || r.OutOfMemory || r.Wall < worth {
		return
	}
	was := e.last
	e.last = where{r.Node, float32(r.Wall.Seconds()), r.CPU > r.Wall/2}
	if was.node == "" || was.node == r.Node || !was.busy && !e.last.busy {
		return
	}
	ratio := math.Log(float64(was.wall / e.last.wall)) // of this node's speed to that one's
	if math.Abs(ratio) > math.Log(unlike) {
		return
	}
	here, there := s.log(r.Node), s.log(was.node)
	s.add(r.Node, there+ratio)
	s.add(was.node, here-ratio)
}

func (s *speeds) log(node mexec.NodeID) float64 {
	if n := s.nodes[node]; n != nil && node != s.self {
		return n.log
	}
	return 0
}

func (s *speeds) add(node mexec.NodeID, ratio float64) {
	if node == s.self {
		return
	}
	n := s.nodes[node]
	if n == nil {
		n = &speed{}
		s.nodes[node] = n
	}
	n.ratios[n.count%window] = float32(ratio)
	n.count++
	all := n.ratios
	some := all[:min(n.count, window)]
	slices.Sort(some)
	n.log = float64(some[len(some)/2])
}
