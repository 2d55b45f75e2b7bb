// Package place decides who gets which job. It has two halves that only ever meet by messages:
//
//   - Slots is the worker's half: this node's slots and the memory of its jobs, who holds them, who gets the next. It is the only
//     authority on them, so two homes can't overload a worker, however stale their news of it.
//   - Home is the home's half: the jobs that wait here, the grants held on each node, and what to do next. Binding is late: a job
//     waits here and starts where a grant comes first.
//
// The home node is one more worker to itself: its Home asks its own Slots.
//
// Both are pure: no goroutine, clock or socket; time and the source of random numbers are arguments. Calls record what is to be done, and the
// caller takes it with Take and does it. Neither is safe for concurrent use: one lock or one goroutine owns both. With the same
// calls they do the same, call for call.
package place

import (
	"time"

	"mexec"
)

// Lease is how long a grant may lie idle at a home before the home gives it back.
const Lease = time.Second

// Void is how long a worker waits for a grant to be used or returned before it takes the slot back by itself.
const Void = 2 * Lease

// Grant is one slot of one worker, promised to one home, and memory with it. Its ID is the worker's.
type Grant uint64

// Share is what the jobs of one build would hold of a worker.
type Share struct {
	UID    uint32
	Build  mexec.BuildID // empty: those of no build
	Slots  int           // in all, jobs that run there and unused grants included
	Memory int64         // that the next grants are to come with, each; 0: not known
}

// Nobody has what a home wants without saying for whom.
const Nobody = ^uint32(0)

// Offer is what a worker tells a home: these grants are yours. Of a recall only Home and Grants count: use these now or return them.
type Offer struct {
	Home   mexec.NodeID
	Grants []Grant
	Memory int64         // that each comes with; 0: it is not counted
	Lease  time.Duration // for how long they may lie idle. 0: somebody else waits for them, so what isn't used at once goes back
}

// Renewal is the slot of an ended job, granted again to the same home. The zero Renewal is none.
type Renewal struct {
	Grant  Grant
	Memory int64
	Lease  time.Duration
}

// Outcome is what became of a grant that was to start a job.
type Outcome int

const (
	Started   Outcome = iota
	VoidGrant         // there is no such grant
	NoMemory          // so much is not free now: the grant is spent
)
