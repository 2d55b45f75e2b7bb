// Package exectest is the promise "exactly as if execve had started it here" as tests.
//
// All maps names to tests. Each test describes callers in odd and in usual states, who execute a program; it lets the kernel's own execve do
// that, then a Runner, and compares what the two programs could see of themselves, what they said and how they ended. What differs must
// stand in Declared, with its reason; what stands there and does not show any more is a failure of the table (Report.Stale).
//
// Promised to whoever writes a Runner: each call is made by a process of its own on the caller's host, its files lie in one directory
// that the program's host has at the same path, which stays behind. No process does. Tests may run at the same time,
// and share their Runners' Report. The programs that the tests need are in libmexec/tests: launch.c, the caller, and probe.c, the program.
package exectest

import (
	"maps"
	"os/exec"
	"slices"
	"testing"
)

// Runner is one way of executing programs: the kernel's, or one that claims to be as good.
type Runner struct {
	Name string // of its column
	Does string // in one line

	Command func(name string, args ...string) *exec.Cmd // a process on the caller's host
	Home    string                                      // that host's name
	Node    string                                      // the name of the host that the program is to run on

	Launch []string // the caller, and before it what puts it into the right environment
	Kernel []string // the caller that uses the kernel's own
	Stub   []string // put in front of the program; nil: the functions that the caller calls are the way
	Env    []string // of the program, by which a caller says its wish; the reference gets it too

	Dir    string       // on both hosts, for whoever made it to remove; each test makes a directory below it
	Probe  string       // the program, to be linked into that
	Memory func() int64 // bytes that the daemons hold now; nil: there are none

	Report *Report
	test   string
}

// Run runs the test of a name over r.
func (r Runner) Run(t *testing.T, name string) {
	r.test = name
	defer func() { r.Report.ran(name, r.Name, t.Failed()) }()
	All[name](t, r)
}

// Test is one test over any Runner.
type Test = func(t *testing.T, r Runner)

// All is every test by its name, theme first.
var All = join(arguments, places, identity, limits, scheduling, signals, failures, scripts, endings, streams, descriptors, terminals, calls)

func join(groups ...map[string]Test) map[string]Test {
	all := make(map[string]Test)
	for _, g := range groups {
		maps.Copy(all, g)
	}
	return all
}

// Names are the names of All in order.
func Names() []string { return slices.Sorted(maps.Keys(All)) }

// same is the test that a call shows the same.
func same(c Call) Test {
	return func(t *testing.T, r Runner) { newStage(t, r).same(c) }
}
