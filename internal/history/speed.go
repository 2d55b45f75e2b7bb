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
// commands that are busy most of it: a node that may use a fifth of a CPU takes as many CPU seconds as any, and has a command that is busy for a fifth of the time.
type speeds struct {
	self  mexec.NodeID
	nodes map[mexec.NodeID]*speed
	heard int                      // how often anything was learned
	part  map[mexec.NodeID]float64 // of a CPU, that a command can have, where that is less than a whole one
}

// speed is a node's, as a logarithm.
type speed struct {
	ratios [window]float32 // the last ones, a ring
	count  int
	log    float64 // their median
	heard  int     // of speeds, when the last one came
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

	mostNodes = 1 << 14 // are remembered: in some clusters each is a new one
)

func newSpeeds(self mexec.NodeID) speeds {
	return speeds{self: self, nodes: map[mexec.NodeID]*speed{}, part: map[mexec.NodeID]float64{}}
}

func (s *speeds) may(node mexec.NodeID, cpus float64) {
	if cpus > 0 && cpus < 1 {
		s.part[node] = cpus
	} else {
		delete(s.part, node)
	}
}

// has is how much of a CPU a command can have on a node.
func (s *speeds) has(node mexec.NodeID) float64 {
	if part, ok := s.part[node]; ok {
		return part
	}
	return 1
}

func (s *speeds) known(node mexec.NodeID) bool {
	return node == s.self || s.learned(node) || s.has(node) != s.has(s.self)
}

func (s *speeds) learned(node mexec.NodeID) bool {
	n := s.nodes[node]
	return n != nil && n.count >= enough
}

func (s *speeds) of(node mexec.NodeID) float64 {
	switch {
	case node == s.self:
		return 1
	case s.learned(node):
		return math.Exp(s.nodes[node].log)
	}
	return s.has(node) / s.has(s.self)
}

// ran compares a run of a command with its last one.
func (s *speeds) ran(e *entry, r Run) {
	if r.Failed || r.OutOfMemory || r.Wall < worth {
		return
	}
	was := e.last
	e.last = where{r.Node, float32(r.Wall.Seconds()), r.CPU.Seconds() > r.Wall.Seconds()*s.has(r.Node)/2}
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
	return math.Log(s.of(node))
}

func (s *speeds) add(node mexec.NodeID, ratio float64) {
	if node == s.self {
		return
	}
	n := s.nodes[node]
	if n == nil {
		if len(s.nodes) >= mostNodes {
			s.forget()
		}
		n = &speed{}
		s.nodes[node] = n
	}
	s.heard++
	n.heard = s.heard
	n.ratios[n.count%window] = float32(ratio)
	n.count++
	all := n.ratios
	some := all[:min(n.count, window)]
	slices.Sort(some)
	n.log = float64(some[len(some)/2])
}

// forget makes room: for the node that was not heard of for longest.
func (s *speeds) forget() {
	var oldest mexec.NodeID
	for node, n := range s.nodes {
		if oldest == "" || n.heard < s.nodes[oldest].heard {
			oldest = node
		}
	}
	delete(s.nodes, oldest)
}
