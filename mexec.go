// Package mexec runs commands on the best node of a cluster, exactly as if they had been started here: [Command] and [CommandContext] return an
// *exec.Cmd, and [Exec] is like syscall.Exec. They need the program mexec of this machine, and are as exec.Command and syscall.Exec
// without it.
//
// It also is the vocabulary that all parts of mexec share: what a node is, how a command can end. It imports the standard library only.
//
// A command ends in one of three ways, and they are never mixed:
//
//   - execve said no: an *ExecError, the caller is still there to handle it;
//   - the program ran and ended: a Status;
//   - we lost it: a *LostError. Only this one is our own fault.
package mexec

import (
	"fmt"
	"syscall"
	"time"
)

// NodeID names a node for the life of its cluster; it is the name in the node's certificate.
type NodeID string

// JobID numbers a job at its home daemon, from 1, for the life of that daemon.
type JobID uint64

// BuildID ties the jobs of one mpmake or mprun together. Empty: the job belongs to no build.
type BuildID string

// LostStatus is the exit status of a stub whose command mexec lost or could not run.
// 126 and 127 stay what they are to a shell; see env(1) and timeout(1), which use 125 likewise.
const LostStatus = 125

// Status is how a program ended: it exited with Code, or died of Signal where that is not 0.
type Status struct {
	Code   int
	Signal syscall.Signal
	Core   bool
}

func (s Status) String() string {
	if s.Signal != 0 {
		return fmt.Sprintf("signal %d (%v)", int(s.Signal), s.Signal)
	}
	return fmt.Sprintf("exit status %d", s.Code)
}

// Usage is what a program and its waited-for children consumed, as wait4(2) gives it.
type Usage struct {
	User, System time.Duration
	MaxRSS       int64 // KiB
}

// ExecError is execve's own error, or that of a step that execve's meaning includes (the working directory, a limit).
type ExecError struct {
	Op    string // "execve", "chdir", "setrlimit" …
	Path  string
	Errno syscall.Errno
}

func (e *ExecError) Error() string { return e.Op + " " + e.Path + ": " + e.Errno.Error() }

func (e *ExecError) Unwrap() error { return e.Errno }

// LostError says that a command may have run and that nobody will ever know how it ended.
type LostError struct {
	Job   JobID
	Node  NodeID
	Cause error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("job %d on %s: lost: %v", e.Job, e.Node, e.Cause)
}

func (e *LostError) Unwrap() error { return e.Cause }

// NodeState is what this node thinks of another.
type NodeState string

const (
	Up     NodeState = "up"     // may get jobs
	Down   NodeState = "down"   // gossip or the link says it is gone
	Skewed NodeState = "skewed" // its clock is too far from ours
	Self   NodeState = "self"   // this node

	Draining NodeState = "draining" // ends what it has, and takes nothing new
)

// Node is one row of the view that a node has of its cluster.
type Node struct {
	Number  int           `json:"number"` // from 1, given when the node joined; NODES uses it
	Name    NodeID        `json:"name"`
	Addr    string        `json:"addr"` // host:port of its link
	State   NodeState     `json:"state"`
	Slots   int           `json:"slots"`
	Busy    int           `json:"busy"`
	Load    float64       `json:"load"`      // one-minute load average
	Offset  time.Duration `json:"offset_ns"` // its clock minus ours
	Version string        `json:"version"`
	Arch    string        `json:"arch"`
	Boot    string        `json:"boot"` // boot id of its kernel
	Why     string        `json:"why,omitempty"`

	Labels string  `json:"labels,omitempty"`      // with commas between; NODES=label:… names them
	Memory int64   `json:"memory,omitempty"`      // bytes that its jobs may use; 0: not known
	Free   int64   `json:"memory_free,omitempty"` // of these, not promised to any job; -1: not known, no link tells it
	CPUs   float64 `json:"cpus,omitempty"`        // that its jobs may use, by affinity and quota; 0: not known
	Speed  float64 `json:"speed,omitempty"`       // learned, until then by CPUs: how fast it runs what this node runs at 1; 0: not known
}

// Drain is whether a node takes commands of other nodes.
type Drain struct {
	Draining bool      `json:"draining"`
	Why      string    `json:"why,omitempty"` // in the words of whoever drained it
	Since    time.Time `json:"since,omitzero"`
	Guests   int       `json:"guests"` // commands of other nodes that run there
}

// Cost is what a command is expected to take, learned from those of its kind before it. The zero Cost is one that nobody knows.
type Cost struct {
	Runs   int           `json:"runs"` // that it was learned from
	CPU    time.Duration `json:"cpu_ns"`
	Wall   time.Duration `json:"wall_ns"`
	Memory int64         `json:"memory"` // bytes to hold for it: the peak of all that it starts, and a margin
	Output int64         `json:"output"` // bytes that it writes to relayed descriptors
}

// Version is this release.
const Version = "0.1.0"
