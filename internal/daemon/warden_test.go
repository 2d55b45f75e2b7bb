package daemon

import (
	"testing"

	"pgregory.net/rapid"
)

func TestJobsMayHaveWhatTheyHaveAndWhatIsFreeButNoMoreThanTheirBudget(t *testing.T) {
	const budget = 100
	for _, c := range []struct {
		used, free int64
		stalled    float64
		want       int64
	}{
		{0, 500, 0, 100},
		{60, 40, 0, 100},
		{60, 10, 0, 70}, // others have the rest
		{60, 0, 0, 60},
		{60, -5, 0, 60},
		{0, -5, 0, 0},
		{60, 40, 0.2, 60}, // nothing goes on, whatever seems free
		{130, 40, 0, 100}, // beyond their budget
	} {
		if got := allowance(budget, c.used, c.free, c.stalled); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestTheReserveIsAShareWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(128<<20, 1<<42).Draw(t, "total")
		r := reserve(total)
		if r < 64<<20 || r > 1<<30 || r > total/2 {
			t.Fatalf("%d of %d", r, total)
		}
	})
}

func TestSizesAreForPeople(t *testing.T) {
	for n, want := range map[int64]string{5 << 10: "5 KiB", 9 << 20: "9216 KiB", 700 << 20: "700 MiB", 1288490189: "1.2 GiB", 20 << 30: "20.0 GiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
