package demand

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestLooksAreSoonAndThenEverMoreRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		wake := make(chan struct{})
		var idle []time.Duration
		over := make(chan struct{})
		go func() {
			defer close(over)
			Watch(ctx, wake, func(d time.Duration) (bool, bool) {
				idle = append(idle, d)
				return len(idle) == 3, false
			})
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		const ms = time.Millisecond
		want := []time.Duration{ms / 2, ms, 2 * ms, ms / 2, ms, 2 * ms, 4 * ms, 8 * ms, 16 * ms, 32 * ms, 64 * ms, 100 * ms}
		if !slices.Equal(idle[:len(want)], want) || idle[len(idle)-1] != 100*ms {
			t.Errorf("looked after %v", idle)
		}
		looks := len(idle)
		wake <- struct{}{}
		time.Sleep(ms)
		synctest.Wait()
		if len(idle) != looks+1 || idle[looks] != ms/2 {
			t.Errorf("woken, looked after %v", idle[looks:])
		}
		cancel()
		<-over
		Watch(t.Context(), nil, func(time.Duration) (bool, bool) { looks = 0; return false, true })
		if looks != 0 {
			t.Error("it has not looked")
		}
	})
}
