package journal

import (
	"testing"
	"time"
)

func newKinds() kinds { return kinds{make([]uint64, kindsWords)} }

func (k kinds) has(kind Kind) bool {
	for _, w := range k.memory[int(kind%rows)*inRow:][:inRow] {
		if w == uint64(kind) {
			return true
		}
	}
	return false
}

func TestAKindIsInItsRowOnceOrNot(t *testing.T) {
	k := newKinds()
	for range 3 {
		k.set(7, true)
	}
	k.set(7, false)
	if k.has(7) {
		t.Error("it is still there")
	}
	for i := range Kind(inRow) {
		k.set(5+i*rows, true)
	}
	k.set(5+inRow*rows, true) // no room
	for i := range Kind(inRow) {
		if !k.has(5 + i*rows) {
			t.Errorf("%d is not there", i)
		}
	}
	if k.has(5 + inRow*rows) {
		t.Error("a row has one more than it has room for")
	}
	k.set(5, false)
	k.set(5+inRow*rows, true)
	if !k.has(5 + inRow*rows) {
		t.Error("a place that is free again is not used")
	}
	k.set(0, true)
	k.set(0, false)
}

func TestWhatDoesNotBelongTogetherIsNotTold(t *testing.T) {
	k := newKinds()
	write := func(pid int, flag, kind uint64, at int64) []uint64 {
		w := k.memory[rows*inRow+pid%starts*startWords:][:startWords]
		w[0], w[1], w[2] = uint64(pid)|flag, kind, uint64(at)
		w[3] = w[0] ^ w[1] ^ w[2]
		return w
	}
	if _, ok := k.started(0); ok {
		t.Error("a process 0")
	}
	write(81, stayed, 9, 1e18)
	if s, ok := k.started(81); !ok || s != (Start{9, time.Unix(1e9, 0), true}) {
		t.Errorf("%+v, %v", s, ok)
	}
	if _, ok := k.started(81 + starts); ok {
		t.Error("another process is taken for it")
	}
	old := [startWords]uint64(write(81, 0, 9, 1e18))
	for i := range old {
		w := write(81, stayed, 10, 2e18)
		for j := range i {
			w[j] = old[j]
		}
		if _, ok := k.started(81); i > 0 && ok {
			t.Errorf("the first %d words are another's", i)
		}
	}
}
