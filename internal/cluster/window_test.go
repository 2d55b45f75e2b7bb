package cluster

import (
	"bytes"
	"encoding/hex"
	"maps"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// golden compares with bytes that must never change: other versions of mexec read them.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatalf("%v\ngot %x", err, got)
	}
	want, err := hex.DecodeString(string(bytes.Join(bytes.Fields(text), nil)))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %v\ngot  %x\nwant %x", file, err, got, want)
	}
}

func TestTheWindowsBytesNeverChange(t *testing.T) {
	reports := []report{
		{source{1, 0x0102030405060708}, 9, epoch, Load{Slots: 16, Busy: 3, Load: 1.5}},
		{source{0x01020304, -1}, math.MaxUint32, epoch.Add(-1500 * time.Millisecond), Load{Slots: 0, Busy: 0, Load: 0.001}},
	}
	b := encodeWindow(epoch, reports)
	golden(t, "window.golden", b)
	got, err := decodeWindow(epoch, b)
	if err != nil || !slices.Equal(got, reports) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAFullWindowFitsInOnePacket(t *testing.T) {
	w := newWindow(source{1, 1})
	for i := range 100 {
		w.merge(epoch, []report{{source: source{uint32(i + 2), 1}, seq: 1, taken: epoch}})
	}
	w.sample(epoch, Load{})
	const encryption, headers = 1 + 12 + 16, 1 + 5
	if n := len(encodeWindow(epoch, w.pick(epoch, windowEntries))); n+encryption+headers > 1400 {
		t.Errorf("%d bytes", n)
	}
}

func TestFiguresOutOfRangeAreNotSentAsOthers(t *testing.T) {
	for _, l := range []Load{{Load: math.NaN()}, {Load: -1}, {Slots: -5, Busy: -1, Load: math.Inf(-1)}} {
		got, err := decodeWindow(epoch, encodeWindow(epoch, []report{{source: source{1, 1}, taken: epoch.Add(time.Hour), load: l}}))
		if err != nil || got[0].load != (Load{}) || !got[0].taken.Equal(epoch) {
			t.Errorf("%+v becomes %+v, %v", l, got, err)
		}
	}
}

func TestAMalformedWindowIsAnError(t *testing.T) {
	good := encodeWindow(epoch, []report{{source: source{1, 1}, taken: epoch}})
	for _, bad := range [][]byte{nil, {1}, {1, 0, 0}, good[:len(good)-1], append(slices.Clone(good), 0),
		append([]byte{2}, good[1:]...), {1, 255, 0, 0}, {1, 0, 1, 0}, encodeWindow(epoch, []report{{}})} {
		if r, err := decodeWindow(epoch, bad); err == nil {
			t.Errorf("%x: %+v", bad, r)
		}
	}
}

func FuzzWindow(f *testing.F) {
	f.Add(encodeWindow(epoch, []report{{source{1, 2}, 3, epoch, Load{4, 5, 6}}, {source{7, 8}, 9, epoch, Load{}}}))
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		reports, err := decodeWindow(epoch, b)
		if err != nil {
			return
		}
		again, err := decodeWindow(epoch, encodeWindow(epoch, reports))
		if err != nil || len(again) != len(reports) {
			t.Fatalf("%+v: %v", again, err)
		}
		w := newWindow(source{1, 2})
		w.sample(epoch, Load{})
		w.merge(epoch, reports)
		if w.known[w.self].seq != 1 {
			t.Fatal("a report from outside changed this node's own")
		}
		if p := w.pick(epoch, windowEntries); len(p) > windowEntries || p[0].source != w.self {
			t.Fatalf("%+v", p)
		}
	})
}

// In whatever order, and however often, reports come: the newest of each is known, as a slow twin that keeps all says.
func TestTheNewestReportIsKnownInWhateverOrderTheyCome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reports := rapid.SliceOf(rapid.Custom(func(t *rapid.T) report {
			seq := rapid.Uint32Range(1, 6).Draw(t, "seq")
			return report{source{rapid.Uint32Range(1, 4).Draw(t, "number"), life(rapid.Int64Range(1, 2).Draw(t, "life"))}, seq,
				epoch.Add(time.Duration(seq) * time.Second), Load{Busy: int(seq)}}
		})).Draw(t, "reports")
		now := epoch.Add(10 * time.Second)
		w := newWindow(source{99, 1})
		for _, r := range rapid.Permutation(reports).Draw(t, "order") {
			w.merge(now, []report{r})
		}
		twin := make(map[source]report)
		for _, r := range reports {
			if r.seq > twin[r.source].seq {
				twin[r.source] = r
			}
		}
		if !maps.Equal(w.known, twin) {
			t.Fatalf("known %+v, want %+v", w.known, twin)
		}
	})
}

func TestPickIsOwnReportThenTheFreshest(t *testing.T) {
	w := newWindow(source{5, 1})
	for i, age := range []time.Duration{30 * time.Second, time.Second, windowMaxAge + 1, 10 * time.Second} {
		w.known[source{uint32(i + 1), 1}] = report{source: source{uint32(i + 1), 1}, seq: 1, taken: epoch.Add(-age)}
	}
	w.sample(epoch.Add(-time.Minute), Load{})
	var got []uint32
	for _, r := range w.pick(epoch, 3) {
		got = append(got, r.number)
	}
	if want := []uint32{5, 2, 4}; !slices.Equal(got, want) {
		t.Errorf("picked %v, want %v", got, want)
	}
	w.forget(epoch)
	if _, ok := w.known[source{3, 1}]; ok || len(w.known) != 4 {
		t.Errorf("known %+v", w.known)
	}
}

// A member that makes nodes up filled the memory of all others: each is kept for ten minutes.
func TestNoMoreLivesAreKnownThanAClusterHas(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	w := newWindow(source{1, 1})
	w.sample(now, Load{})
	old := report{source: source{2, 1}, seq: 1, taken: now}
	w.merge(now, []report{old})
	for i := range life(2 * windowMost) {
		w.merge(now, []report{{source: source{3, i}, seq: 1, taken: now}})
	}
	old.seq, old.load.Busy = 2, 7
	w.merge(now, []report{old})
	if len(w.known) > windowMost || w.known[old.source].load.Busy != 7 {
		t.Errorf("%d lives, %+v", len(w.known), w.known[old.source])
	}
	later := now.Add(2 * windowMaxAge)
	w.forget(later)
	w.merge(later, []report{{source: source{4, 1}, seq: 1, taken: later}})
	if len(w.known) != 1 {
		t.Errorf("%d lives are left", len(w.known))
	}
}
