package jobserver

import (
	"testing"

	"pgregory.net/rapid"
)

// The model: a book, a pipe, and clients that hold tokens. Everything that can happen, in any order.
func TestElasticMintsAndLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e Elastic
		pipe, held, gone := 0, 0, 0 // gone: lost by clients, and not found to be
		target, least := 1, 1
		n := func(most int) int { return rapid.IntRange(0, most).Draw(t, "n") }
		t.Repeat(map[string]func(*rapid.T){
			"aim": func(*rapid.T) {
				target = 1 + n(20)
				pipe += e.Aim(target)
			},
			"acquire": func(*rapid.T) { k := n(pipe); pipe -= k; held += k },
			"release": func(*rapid.T) { k := n(held); held -= k; pipe += k },
			"collect": func(*rapid.T) {
				free := pipe
				k := e.Surplus(free)
				if e.Debt() > 0 && free > 0 && k == 0 {
					t.Fatal("a debt is not taken")
				}
				raced := n(pipe) // by a client, between the look and the taking
				pipe -= raced
				held += raced
				k = min(k, pipe)
				pipe -= k
				e.Took(k, free)
			},
			"kill":  func(*rapid.T) { k := n(held); held -= k; gone += k },
			"found": func(*rapid.T) { k := n(gone); gone -= k; pipe += e.Lost(k) },
			"": func(t *rapid.T) {
				least = max(target-1, 0)
				if e.out != pipe+held+gone {
					t.Fatalf("the book has %d; there are %d in the pipe, %d held, %d lost", e.out, pipe, held, gone)
				}
				if pipe+held+gone > least+e.Debt() || e.Debt() == 0 && e.out != least {
					t.Fatalf("%d out for %d jobs, debt %d", e.out, target, e.Debt())
				}
				if got := e.Held(pipe); got != held+gone {
					t.Fatalf("held %d, not %d", got, held+gone)
				}
			},
		})
	})
}

// A token that was taken for lost and comes back is taken out, and no other.
func TestATokenThatWasNotLostIsNotThereTwice(t *testing.T) {
	var e Elastic
	pipe := e.Aim(5) // 4 tokens
	held := pipe
	pipe = e.Lost(2)
	if pipe != 2 {
		t.Fatalf("%d written for 2", pipe)
	}
	pipe += held // all 4 are there after all
	if k := e.Surplus(pipe); k != 2 {
		t.Fatalf("%d are too many, not 2", k)
	}
	e.Took(2, pipe)
	if pipe -= 2; e.out != 4 || e.Surplus(pipe) != 0 || e.Held(pipe) != 0 {
		t.Errorf("%+v", e)
	}
}

func TestTheTargetIsRoomAndSomeThatWait(t *testing.T) {
	for _, c := range []struct{ room, limit, want int }{
		{0, 0, 1}, {1, 0, 2}, {2, 0, 3}, {4, 0, 6}, {12, 0, 16}, {100, 0, 126}, {1 << 20, 0, Most},
		{12, 8, 8}, {4, 8, 6}, {4, 1, 1}, {0, 3, 1}, {1 << 20, 1 << 20, Most},
	} {
		if got := Target(c.room, c.limit); got != c.want {
			t.Errorf("room %d, limit %d: %d", c.room, c.limit, got)
		}
	}
}

func TestOnlyWhatIsMissingAtEachLookIsLost(t *testing.T) {
	var l Losses
	look := func(missing int, times int) (lost int) {
		for range times {
			lost += l.Look(missing)
		}
		return lost
	}
	if look(3, patience-1) != 0 || look(0, 1) != 0 || look(3, patience-1) != 0 {
		t.Error("too soon")
	}
	if lost := look(1, 1); lost != 1 {
		t.Errorf("%d lost, where at one look one was missing", lost)
	}
	if look(2, patience-1) != 0 || look(2, 1) != 2 {
		t.Error("the next time")
	}
}
