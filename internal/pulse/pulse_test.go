package pulse

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestMomentsOfAPeriodAreAmongThoseOfItsParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		age := time.Duration(rapid.Int64Range(-1<<60, 1<<60).Draw(t, "age"))
		part := time.Duration(rapid.Int64Range(1, int64(time.Second)).Draw(t, "part"))
		whole := part * time.Duration(rapid.IntRange(1, 50).Draw(t, "times"))
		wait := next(age, whole)
		if wait <= 0 || wait > whole {
			t.Fatalf("%v to the next of a period of %v", wait, whole)
		}
		if at := age + wait; next(at, part) != part || next(at, whole) != whole {
			t.Errorf("%v is no moment of %v", at, part)
		}
	})
}

func TestAClockFiresAtEachMomentOfItsPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(Next(time.Second))
		began := time.Now()
		c := Every(250 * time.Millisecond)
		defer c.Stop()
		for i := range 4 {
			<-c.C
			c.Again()
			if past := time.Since(began); past != time.Duration(i+1)*250*time.Millisecond {
				t.Errorf("moment %d after %v", i+1, past)
			}
		}
	})
}
