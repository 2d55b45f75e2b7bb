package journal

import (
	"slices"
	"testing"
)

// writer writes as journal.c does, one step at a time where a test wants to look in between.
type writer struct{ memory []uint64 }

func newRing() (*ring, writer) {
	memory := make([]uint64, headWords+records*recordWords)
	return &ring{memory: memory}, writer{memory}
}

func (w writer) slot(n uint64) []uint64 {
	return w.memory[headWords+int(n%records)*recordWords:][:recordWords]
}

func (w writer) claim() uint64 {
	n := w.memory[nextAt/8]
	w.memory[nextAt/8]++
	w.slot(n)[0] = n + 1 | busy
	return n
}

func (w writer) commit(n uint64) {
	s := w.slot(n)
	s[2] = uint64(forked)
	s[3] = n + 1 // the pid
	s[0] = n + 1
}

func (w writer) write() { w.commit(w.claim()) }

func pids(all []record) (out []int) {
	for _, r := range all {
		out = append(out, r.pid)
	}
	return out
}

func (r *ring) wants(t *testing.T, last bool, gaps int, want ...int) {
	t.Helper()
	if got := pids(r.read(last)); !slices.Equal(got, want) || r.gaps != gaps {
		t.Errorf("read %v, %d gaps; want %v, %d", got, r.gaps, want, gaps)
	}
}

func TestWhatIsNotFinishedIsReadLater(t *testing.T) {
	r, w := newRing()
	w.write()
	slow := w.claim()
	w.write()
	r.wants(t, false, 0, 1, 3)
	r.wants(t, false, 0)
	w.write()
	w.commit(slow)
	r.wants(t, false, 0, 2, 4)
	r.wants(t, true, 0)
}

func TestWhatIsNeverFinishedIsCountedAtTheEnd(t *testing.T) {
	r, w := newRing()
	w.claim()
	w.write()
	r.wants(t, false, 0, 2)
	r.wants(t, true, 1)
}

func TestWhatIsTakenBackWasNeverThere(t *testing.T) {
	r, w := newRing()
	w.write()
	w.write()
	w.slot(0)[0] |= takenBack
	r.wants(t, true, 0, 2)
}

func TestWhatIsOverwrittenBeforeItIsReadIsAGap(t *testing.T) {
	r, w := newRing()
	w.claim()
	w.write()
	r.wants(t, false, 0, 2)
	for range records + 10 {
		w.write()
	}
	all := r.read(false)
	// The last 65536 are there; ten are not, and that of the slow one, whose place another has.
	if got := pids(all); len(got) != records || got[0] != 13 || got[len(got)-1] != records+12 || r.gaps != 11 {
		t.Errorf("read %d records from %d to %d, %d gaps", len(got), got[0], got[len(got)-1], r.gaps)
	}
	w.write()
	r.wants(t, true, 11, records+13)
}

// A writer that gives way to a slow one leaves the place as it was: the number is missing.
func TestANumberWithoutARecordIsAGap(t *testing.T) {
	r, w := newRing()
	slow := w.claim()
	for range records - 1 {
		w.write()
	}
	r.read(false)
	w.memory[nextAt/8]++ // it has found the slow one's mark
	w.write()
	w.commit(slow)
	if got := pids(r.read(true)); !slices.Equal(got, []int{1, records + 2}) || r.gaps != 1 {
		t.Errorf("read %v, %d gaps", got, r.gaps)
	}
}

func TestAnyMemoryIsReadInTime(t *testing.T) {
	r, w := newRing()
	for i := range w.memory {
		w.memory[i] = uint64(i) * 0x9e3779b97f4a7c15
	}
	for _, next := range []uint64{1<<64 - 1, 1 << 62, 3, 1<<62 - 1, 0} {
		w.memory[nextAt/8] = next
		r.read(false)
	}
	if len(r.later) > records {
		t.Errorf("%d are waited for", len(r.later))
	}
}
