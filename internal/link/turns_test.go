package link

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatComesOutOfOrderIsWrittenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns Turns
		var mu sync.Mutex
		var written []uint64
		begun := time.Now()
		for _, n := range []uint64{3, 5, 2, 4, 1} {
			go turns.Do(n, func() {
				mu.Lock()
				defer mu.Unlock()
				written = append(written, n)
			})
			synctest.Wait()
		}
		if !slices.Equal(written, []uint64{1, 2, 3, 4, 5}) || time.Since(begun) > 0 || len(turns.waiting) > 0 {
			t.Errorf("%v after %v", written, time.Since(begun))
		}
	})
}

// A reader that stops, or a job that is killed before its output is sent, must not hold up others for long, and only once.
func TestNobodyWaitsLongForAPieceThatIsHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns Turns
		gate := make(chan struct{})
		go turns.Do(1, func() { <-gate })
		synctest.Wait()
		begun := time.Now()
		for n := uint64(2); n < 100; n++ {
			turns.Do(n, func() {})
		}
		if took := time.Since(begun); took != patience {
			t.Errorf("98 pieces took %v", took)
		}
		close(gate)
		synctest.Wait()
		turns.Do(0, func() {}) // not in the order
		turns.Do(100, func() {})
		if took := time.Since(begun); took != patience {
			t.Errorf("a piece that was held up holds up others when it comes: %v", took)
		}
	})
}
