package mexec

import "time"

// EventKind says what an Event tells.
type EventKind string

const (
	// Of a job, in this order. Only Waits may come more than once, and each Waits is followed by another Starts or by the end.
	Received  EventKind = "received"  // Command, PID, Dir
	Starts    EventKind = "starts"    // Node, Why: the point of no re-run; on this node PID is the program itself from here on
	Waits     EventKind = "waits"     // Why: the node refused it, or lost it and it is to run again
	Borrows   EventKind = "borrows"   // it has opened its jobserver on another node: tokens of the build may be with it until it ends
	Ended     EventKind = "ended"     // Status, Usage, Late; of a job on this node Status is zero, and Usage what the daemon saw of it: see Reaped
	Lost      EventKind = "lost"      // Why
	Withdrawn EventKind = "withdrawn" // its caller went away before it started

	// Of the build's tool, as the shim in it saw it: children that it did not offer to the cluster, and the ends of all its children.
	Kept   EventKind = "kept"   // PID, Command, Why: the child runs here and no daemon counts it
	Reaped EventKind = "reaped" // PID, Status, Usage: of any child, placed or kept, and last the tool; without what other Reaped have told of below it

	// Of a daemon, by whoever listens to it: it is heard no longer. Of its jobs that are not told anew behind this, by Received, nobody will hear the end,
	// and its numbers may begin again. It has room for nothing, until it says what. With Source "journal", at the end: some Kept and Reaped are missing.
	Gap EventKind = "gap" // Source, Why

	// Of the cluster.
	Cluster EventKind = "cluster" // Nodes, Room: at the begin, and whenever one of them has changed; no Nodes: they are as before
)

// Event is one thing that happened to a build. Events of one job come in the order in which they happened; those of different jobs,
// and of a job and its process (Reaped), may come in another.
type Event struct {
	Kind    EventKind     `json:"kind"`
	At      time.Time     `json:"at"`                // on the home node's clock
	Source  string        `json:"source,omitempty"`  // which daemon says so, where a build has two: job numbers are its own
	Job     JobID         `json:"job,omitempty"`     // 0: not about a job
	Command string        `json:"command,omitempty"` // arguments with blanks between, cut where it is long
	Dir     string        `json:"dir,omitempty"`
	PID     int           `json:"pid,omitempty"` // on the home node
	Node    NodeID        `json:"node,omitempty"`
	Why     string        `json:"why,omitempty"`
	Status  Status        `json:"status,omitzero"`
	Usage   Usage         `json:"usage,omitzero"`
	Late    time.Duration `json:"late_ns,omitempty"` // that it ended later than was expected of the best other node; 0: not later, or nothing was expected
	Nodes   []Node        `json:"nodes,omitempty"`
	Room    int           `json:"room,omitempty"` // commands of this build that the cluster has slots for now, those that run included
}
