package history

import (
	"math"
	"time"

	"mexec"
)

// Run is what a command took.
type Run struct {
	Node   mexec.NodeID
	CPU    time.Duration // its own and that of all that it has waited for
	Wall   time.Duration
	Memory int64 // peak of its whole tree in bytes; 0: not known
	Output int64 // bytes that it wrote to relayed descriptors; below 0: not known

	Failed      bool // it ended with a status that is not 0: it may have stopped half way
	OutOfMemory bool // the kernel killed some of it for want of memory: it would have taken more
}

const (
	recent  = 8       // a mean is of so many of the last runs, as a decayed one is
	margin  = 1 << 20 // is reserved besides
	growth  = 1.5     // of what was not enough
	assured = 4       // runs are few; with more of them the margin of a kind comes down
	apart   = 8       // two peaks are taken to be apart by no more than this share of one
)

// trust says how much of what was seen is held for the next time.
type trust struct {
	share float32 // what is reserved is more by this share where few runs were seen; where many were, by a 32nd
	sink  float32 // of how far a peak is below the highest, the highest comes down by this share
}

// A kind's commands are less alike than one command and itself, and where one of fifty needs much, that one is not to be forgotten.
var (
	ofCommand = trust{share: 1. / 32, sink: 1. / 8}
	ofKind    = trust{share: 1. / 8, sink: 1. / 64}
)

// Bounds: a kind is worth more than a command, since it also tells something of commands that nobody has seen.
const (
	mostKinds    = 1 << 12
	mostCommands = 1 << 15
)

// More than this no command takes: other nodes say what it took there, and what the kernel has killed often enough would else need more than a number holds.
const (
	longest = 10_000 * time.Hour
	largest = 1 << 46 // bytes
)

// bounded is a run as one could have been.
func (r Run) bounded() Run {
	r.CPU, r.Wall = min(max(0, r.CPU), longest), min(max(0, r.Wall), longest)
	r.Memory, r.Output = min(max(0, r.Memory), largest), min(r.Output, largest)
	return r
}

// Costs has what commands took. It is not safe for concurrent use.
type Costs struct {
	kinds, commands table
	speeds          speeds
}

// estimate is what is known of a kind, or of a command.
type estimate struct {
	runs              uint32
	cpu, wall, output float32 // means: seconds, seconds as this node would take, bytes
	memory            float32 // a peak that sinks: bytes
	spread            float32 // how far from it peaks are, in the mean
}

// NewCosts begins with nothing. self is the node whose speed is 1.
func NewCosts(self mexec.NodeID) *Costs {
	return &Costs{kinds: newTable(mostKinds), commands: newTable(mostCommands), speeds: newSpeeds(self)}
}

// Of is what a command is expected to take: what it took itself, or else what its kind did.
func (c *Costs) Of(k Key) mexec.Cost {
	if k == (Key{}) {
		return mexec.Cost{}
	}
	if e := c.commands.find(k.Command); e != nil {
		return e.cost(ofCommand)
	}
	if e := c.kinds.find(k.Kind); e != nil {
		return e.cost(ofKind)
	}
	return mexec.Cost{}
}

// Ran is told what a command took. name is for people who look at what is known.
func (c *Costs) Ran(k Key, name string, r Run, now time.Time) {
	if k == (Key{}) {
		return
	}
	r = r.bounded()
	command := c.commands.open(k.Command, now)
	kind := c.kinds.open(k.Kind, now)
	kind.name = name
	c.speeds.ran(command, r)
	wall := r.Wall.Seconds() * c.speeds.of(r.Node)
	command.learn(r, wall, ofCommand)
	kind.learn(r, wall, ofKind)
}

// CPUs is told how many CPUs a node may use. Where that is less than one, by a quota, a command there has no more.
func (c *Costs) CPUs(node mexec.NodeID, cpus float64) { c.speeds.may(node, cpus) }

// Speed is how fast a node runs what this one runs at 1; 0: not known. It is learned from commands that took some time, here and there; until then it is what
// the quotas of the two say.
func (c *Costs) Speed(node mexec.NodeID) float64 {
	if !c.speeds.known(node) {
		return 0
	}
	return c.speeds.of(node)
}

func (e *estimate) cost(t trust) mexec.Cost {
	seconds := func(s float32) time.Duration { return time.Duration(float64(s) * float64(time.Second)) }
	cost := mexec.Cost{Runs: int(e.runs), CPU: seconds(e.cpu), Wall: seconds(e.wall), Output: int64(e.output)}
	if e.memory > 0 {
		share := 1./32 + (t.share-1./32)*assured/float32(max(assured, e.runs))
		cost.Memory = int64(e.memory*(1+share)+2*e.spread) + margin
	}
	return cost
}

// learn takes a run in. One that failed says only what it takes at least.
func (e *estimate) learn(r Run, wall float64, t trust) {
	e.remember(r, t)
	if r.Failed && e.runs > 0 && wall <= float64(e.wall) {
		return
	}
	e.runs = min(e.runs+1, math.MaxUint32-1)
	weight := 1 / float32(min(e.runs, recent))
	e.cpu += weight * (float32(r.CPU.Seconds()) - e.cpu)
	e.wall += weight * (float32(wall) - e.wall)
	if r.Output >= 0 {
		e.output += weight * (float32(r.Output) - e.output)
	}
}

// remember takes a peak in. What is reserved is a promise, so a mean would not do, and one that was higher a long time ago holds others up
// for nothing: the peak is the highest, and sinks with each run that stays below it. What was not enough is known to be too little only.
func (e *estimate) remember(r Run, t trust) {
	peak := float32(r.Memory)
	switch {
	case r.OutOfMemory:
		e.memory = min(max(e.memory, peak)*growth, largest)
	case peak <= 0 || r.Failed && peak < e.memory:
	case peak >= e.memory:
		if e.memory > 0 {
			e.spread += (min(peak-e.memory, peak/apart) - e.spread) / recent
		}
		e.memory = peak
	default:
		e.spread += (min(e.memory-peak, peak/apart) - e.spread) / recent
		e.memory -= (e.memory - peak) * t.sink
	}
}
