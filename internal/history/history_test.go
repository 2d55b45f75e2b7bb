package history

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

// told is what somebody who is told of changes believes.
type told map[Kind]bool

func newLearner(t interface{ Fatalf(string, ...any) }) (*Learner, told) {
	all := told{}
	return New(Limit, func(k Kind, short bool) {
		if all[k] == short {
			t.Fatalf("%d was told to be %v twice", k, short)
		}
		if all[k] = short; !short {
			delete(all, k)
		}
	}), all
}

func (l *Learner) often(k Kind, n int, took time.Duration) {
	for range n {
		l.Ran(k, took)
	}
}

func TestAFewInARowMakeAKindShort(t *testing.T) {
	l, _ := newLearner(t)
	l.often(1, few-1, ms)
	l.Ran(1, Limit)
	l.often(1, few-1, ms)
	if l.Short(1) {
		t.Error("they were not in a row")
	}
	l.Ran(1, ms)
	if !l.Short(1) || l.Short(2) {
		t.Error("they were in a row")
	}
}

func TestOneThatTookMuchLongerEndsItForLong(t *testing.T) {
	l, _ := newLearner(t)
	l.often(1, 1000, ms)
	l.Ran(1, far*Limit)
	if !l.Short(1) {
		t.Error("it was not so long")
	}
	l.Ran(1, far*Limit+1)
	if l.Short(1) {
		t.Error("it was so long")
	}
	l.often(1, many-1, ms)
	l.Ran(1, Limit)
	l.often(1, many-1, ms)
	if l.Short(1) {
		t.Error("it is believed too soon")
	}
	if l.Ran(1, ms); !l.Short(1) {
		t.Error("it is never believed again")
	}
}

// A busy machine makes a run now and then a little longer.
func TestALittleLongerCountsWhereItIsTheRule(t *testing.T) {
	l, _ := newLearner(t)
	l.often(1, few, ms)
	for range 1000 {
		l.Ran(1, 2*Limit)
		l.Ran(1, ms)
	}
	if !l.Short(1) {
		t.Error("every second one is not the rule")
	}
	l.often(1, often, 2*Limit)
	if l.Short(1) {
		t.Error("all are")
	}
	if l.often(1, few, ms); !l.Short(1) {
		t.Error("it need not be doubted")
	}
}

func TestWhatIsNotHeardOfForLongestIsForgotten(t *testing.T) {
	l, all := newLearner(t)
	for k := range Kind(kinds) {
		l.often(k, few, ms)
	}
	l.Ran(0, ms)
	l.Ran(kinds, ms)
	if !l.Short(0) || l.Short(1) || len(all) != kinds-1 || all[1] {
		t.Errorf("%v %v, %d", l.Short(0), l.Short(1), len(all))
	}
}

// twin remembers all that ever ran, and looks back.
type twin []time.Duration

func (all twin) short() bool {
	short, from, need, above := false, 0, few, 0
	for i, took := range all {
		row := 0
		for j := i; j >= from && all[j] < Limit; j-- {
			row++
		}
		switch {
		case took > far*Limit:
			if short {
				need = many
			}
			short = false
		case took >= Limit:
			above++
			short = short && above < often
		default:
			above = max(above-1, 0)
			if !short && row >= need {
				short, above, need = true, 0, few
			}
		}
	}
	return short
}

func TestItIsAsWhoLooksBackSees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, all := newLearner(t)
		ran := map[Kind]twin{}
		for range rapid.IntRange(0, 300).Draw(t, "runs") {
			k := Kind(rapid.IntRange(1, 3).Draw(t, "kind"))
			took := rapid.SampledFrom([]time.Duration{0, ms, ms, ms, ms, ms, ms, ms, ms, Limit, 2 * Limit, far * Limit, far*Limit + 1}).Draw(t, "took")
			l.Ran(k, took)
			ran[k] = append(ran[k], took)
			if l.Short(k) != ran[k].short() || l.Short(k) != all[k] {
				t.Fatalf("%v: %v, told %v", ran[k], l.Short(k), all[k])
			}
		}
		again, told := newLearner(t)
		again.Learn(l.Text())
		if !bytes.Equal(again.Text(), l.Text()) || len(told) != len(all) {
			t.Fatalf("%s\nis read as\n%s", l.Text(), again.Text())
		}
	})
}

// The count of its runs above the limit grew without bound, and what was written of it was then no text.
func TestWhatAlwaysTakesALittleLongerIsNoEndOfTheText(t *testing.T) {
	l, _ := newLearner(t)
	l.often(1, few, ms)
	l.often(2, 1000, 2*Limit)
	again, told := newLearner(t)
	if again.Learn(l.Text()); !told[1] || !bytes.Equal(again.Text(), l.Text()) {
		t.Errorf("%s\nis read as\n%s", l.Text(), again.Text())
	}
}

func TestWhatIsNoTextTeachesNothing(t *testing.T) {
	l, _ := newLearner(t)
	l.often(1, few, ms)
	l.often(2, few, ms)
	good := l.Text()
	other, told := newLearner(t)
	other.Learn(good[:len(good)-1]) // cut short
	if !told[2] || told[1] || len(told) != 1 {
		t.Errorf("%v", told)
	}
	for _, text := range []string{"", "\n", "mexec kinds 2", string(bytes.Replace(good, []byte("3000000"), []byte("9000000"), 1)), string(bytes.Replace(good, []byte("+ 4"), []byte("+ -4"), 1))} {
		other, told := newLearner(t)
		if other.Learn([]byte(text)); len(told) != 0 {
			t.Errorf("%q: %v", text, told)
		}
	}
}

func FuzzLearn(f *testing.F) {
	l, _ := newLearner(f)
	l.often(1, few, ms)
	f.Add(l.Text())
	f.Fuzz(func(t *testing.T, text []byte) {
		l, told := newLearner(t)
		l.Learn(append(fmtHeading(), text...))
		if n := l.order.Len(); n > kinds || n < len(told) || n != len(l.known) {
			t.Errorf("%d kinds, %d short", n, len(told))
		}
	})
}

func fmtHeading() []byte { return New(Limit, nil).Text() }
