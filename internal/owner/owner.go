// Package owner decides how many slots of a node others may have while its own users are at work there.
//
// An Owner is a fold of samples: what all processes of the machine have used, less what is known to be commands of other nodes, and less a CPU for
// each command that this node's users run by mexec (those have slots, and are counted there). What is left keeps CPUs busy that others can't have.
//
// It shrinks within a few seconds and grows only after some seconds of calm, so that a compiler of the owner's, which comes and goes, does not make grants
// come and go; and it takes no slot for less than half a CPU, which any machine uses for itself. Commands that run already run on: who wants them
// to give way sets guest-nice.
//
// It is pure: time is in the samples.
package owner

import (
	"fmt"
	"math"
	"time"
)

// Config is what does not change.
type Config struct {
	Slots int // of the node
	CPUs  int // of the machine
	Floor int // what others may always have
}

// Sample is what was measured at a moment.
type Sample struct {
	At     time.Time
	Busy   time.Duration // CPU time that all processes have used so far
	Guests time.Duration // of that, commands of other nodes
	Own    int           // commands that may keep a CPU busy each and are none of the owner's other work
}

const (
	memory = 3 * time.Second // of the average
	calm   = 5 * time.Second // before others get more again
	margin = 0.3             // by which it must be more
)

// Owner is what its samples have made of it.
type Owner struct {
	Config
	last    *Sample
	foreign float64 // CPUs, averaged
	limit   int

	since time.Time // when it began that there could be more
	least int       // the least that there could be since then
}

// New starts with all slots for others.
func New(c Config) *Owner {
	c.CPUs = max(1, c.CPUs)
	c.Floor = min(max(0, c.Floor), c.Slots)
	return &Owner{Config: c, limit: c.Slots}
}

// Limit is how many slots others may have.
func (o *Owner) Limit() int { return o.limit }

// Why says why they are less than all, in one line; empty if they are not.
func (o *Owner) Why() string {
	if o.limit >= o.Slots {
		return ""
	}
	return fmt.Sprintf("owner: %.0f of %d CPUs busy", math.Max(1, math.Round(o.foreign)), o.CPUs)
}

// See takes the next sample.
func (o *Owner) See(s Sample) {
	before := o.last
	o.last = &s
	if before == nil {
		return
	}
	span := s.At.Sub(before.At)
	if span <= 0 {
		return
	}
	// A command that ran for a part of the span counts as one that ran for all of it: to blame the owner for it would be the worse mistake.
	used := (s.Busy - before.Busy).Seconds() - (s.Guests - before.Guests).Seconds()
	foreign := min(max(0, used/span.Seconds()-float64(max(s.Own, before.Own))), float64(o.CPUs))
	o.foreign += (foreign - o.foreign) * (1 - math.Exp(-span.Seconds()/memory.Seconds()))
	o.decide(s.At)
}

func (o *Owner) decide(now time.Time) {
	if less := o.left(0); less < o.limit {
		o.limit, o.since = less, time.Time{}
		return
	}
	more := o.left(margin)
	switch {
	case more <= o.limit:
		o.since = time.Time{}
	case o.since.IsZero():
		o.since, o.least = now, more
	default:
		if o.least = min(o.least, more); now.Sub(o.since) >= calm {
			o.limit, o.since = o.least, time.Time{}
		}
	}
}

// left is how many slots are left by what the owner uses and some more.
func (o *Owner) left(some float64) int {
	free := float64(o.CPUs) - o.foreign - some
	if o.Slots > o.CPUs { // a slot is a part of a CPU
		free *= float64(o.Slots) / float64(o.CPUs)
	}
	if o.foreign < 0.5 { // that is nobody's work
		free = float64(o.Slots)
	}
	return min(max(o.Floor, int(math.Floor(free+0.5))), o.Slots)
}
