package conformance_test

import (
	"flag"
	"testing"

	"mexec/internal/exectest"
)

var (
	commands = flag.Uint64("commands", 500, "how many random commands are compared")
	seed     = flag.Uint64("seed", 1, "of the first of them")
)

// The seed of each is its number, so that one alone can be done again: -seed N -commands 1.
func TestRandomCommandsShowTheSameOnTheKernelAndOnAnotherNode(t *testing.T) {
	var report exectest.Report
	for _, r := range runners(t, &report) {
		if r.Name != "there" {
			continue
		}
		t.Logf("%d commands from -seed %d", *commands, *seed)
		const atOnce = 4
		for n := range uint64(atOnce) {
			t.Run("a part", func(t *testing.T) {
				t.Parallel()
				r.RunRandom(t, *seed+n, *seed+*commands, atOnce)
			})
		}
	}
}
