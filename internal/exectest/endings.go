package exectest

import (
	"fmt"
	"sync"
	"testing"
)

// How a program ends.

var endings = map[string]Test{
	"exit: each of 0 to 255": exits,
	"exit: more than a byte": same(Call{Env: []string{"PROBE=exit 256"}}),
	"exit: less than zero":   same(Call{Env: []string{"PROBE=exit -1"}}),
	"exit: told before":      same(Call{Env: []string{"PROBE=tell exit 5"}}),
	"exit: with a core":      same(Call{Setup: orders("chdir DIR rlimit 4 100000000 100000000"), Env: []string{"PROBE=die 11"}}),
}

// exits counts each status, with a few calls under way at a time.
func exits(t *testing.T, r Runner) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := 0
	for range 4 {
		s := newStage(t, r)
		wg.Go(func() {
			for {
				mu.Lock()
				code := next
				next++
				mu.Unlock()
				if code > 255 {
					return
				}
				if o := s.run(Call{Env: []string{fmt.Sprint("PROBE=exit ", code)}}, r); o["status"] != fmt.Sprint("exit ", code) || o["stderr"] != "" {
					t.Errorf("exit %d: %v", code, o)
				}
			}
		})
	}
	wg.Wait()
}
