package cluster

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// The load window: each second every node sends its own load and the freshest others that it knows to one random member.
// News spreads as an epidemic, at the same cost for each node however many there are; what it gives up is that old
// entries stay old, so a reader must look at the age and prefer fresh ones. The idea is MOSIX's (Amar, Barak, Drezner,
// Okun 2009). Refused: a member's metadata and memberlist's broadcasts, which collapse at some 500 nodes because each
// change goes to everybody.

// Load is what changes about a node.
type Load struct {
	Slots int     // that it grants now
	Busy  int     // jobs running and grants out
	Load  float64 // one-minute load average
}

const (
	windowEntries = 40               // with encryption it is one packet of 1,400 bytes
	windowMaxAge  = 10 * time.Minute // older news is no news
	windowMost    = 1 << 16          // lives that are known, far more than any cluster has
	windowKind    = 1
	windowHead    = 4
	windowEntry   = 32
)

// source is one life of one node, as entries name it.
type source struct {
	number uint32
	life   life
}

// report is one node's load as of a moment. The moment is by the reader's clock: clocks differ, so an age travels, and
// only the time that messages are on their way is lost. Which of two reports is newer is told by seq alone.
type report struct {
	source
	seq   uint32
	taken time.Time
	load  Load
}

// window is all that a node knows about load. It is not for use by several goroutines at once.
type window struct {
	self  source
	known map[source]report
}

func newWindow(self source) window {
	return window{self: self, known: make(map[source]report)}
}

// sample puts in this node's own load.
func (w *window) sample(now time.Time, l Load) {
	w.known[w.self] = report{source: w.self, seq: w.known[w.self].seq + 1, taken: now, load: l}
}

// merge takes what is newer than what is known. Nobody else knows better about this node than itself.
// Reports of nodes that are not members (yet) are kept too: news of a member and of its load take different ways.
func (w *window) merge(now time.Time, reports []report) {
	for _, r := range reports {
		if r.source == w.self || now.Sub(r.taken) > windowMaxAge {
			continue
		}
		if old, ok := w.known[r.source]; ok && r.seq > old.seq || !ok && len(w.known) < windowMost {
			w.known[r.source] = r
		}
	}
}

// forget drops what is too old to tell, which is also how the reports of the dead go.
func (w *window) forget(now time.Time) {
	for s, r := range w.known {
		if now.Sub(r.taken) > windowMaxAge {
			delete(w.known, s)
		}
	}
}

// pick returns this node's own report and the n-1 freshest others.
func (w *window) pick(now time.Time, n int) []report {
	all := make([]report, 0, len(w.known))
	for _, r := range w.known {
		if now.Sub(r.taken) <= windowMaxAge {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b report) int {
		if (a.source == w.self) != (b.source == w.self) {
			if a.source == w.self {
				return -1
			}
			return 1
		}
		return cmp.Or(b.taken.Compare(a.taken), cmp.Compare(a.number, b.number), cmp.Compare(a.life, b.life))
	})
	return all[:min(n, len(all))]
}

// encodeWindow writes u8 kind = 1, u8 count, u16 0, then 32 bytes for each:
//
//	u32 number · u32 seq · i64 life · u32 age in ms · u32 slots · u32 busy · u32 load in thousandths
func encodeWindow(now time.Time, reports []report) []byte {
	b := make([]byte, 0, windowHead+windowEntry*len(reports))
	b = append(b, windowKind, byte(len(reports)), 0, 0)
	for _, r := range reports {
		b = binary.LittleEndian.AppendUint32(b, r.number)
		b = binary.LittleEndian.AppendUint32(b, r.seq)
		b = binary.LittleEndian.AppendUint64(b, uint64(r.life))
		b = binary.LittleEndian.AppendUint32(b, clamp(float64(now.Sub(r.taken).Milliseconds())))
		b = binary.LittleEndian.AppendUint32(b, clamp(float64(r.load.Slots)))
		b = binary.LittleEndian.AppendUint32(b, clamp(float64(r.load.Busy)))
		b = binary.LittleEndian.AppendUint32(b, clamp(math.Round(r.load.Load*1000)))
	}
	return b
}

func decodeWindow(now time.Time, b []byte) ([]report, error) {
	if len(b) < windowHead || b[0] != windowKind {
		return nil, fmt.Errorf("decode load window: %d bytes of an unknown kind", len(b))
	}
	n := int(b[1])
	if b[2] != 0 || b[3] != 0 || len(b) != windowHead+windowEntry*n {
		return nil, fmt.Errorf("decode load window: %d bytes for %d entries", len(b), n)
	}
	reports := make([]report, n)
	for i := range reports {
		e := b[windowHead+windowEntry*i:]
		u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(e[at:]) }
		if u32(0) == 0 {
			return nil, fmt.Errorf("decode load window: entry %d is of node 0", i)
		}
		reports[i] = report{
			source: source{u32(0), life(binary.LittleEndian.Uint64(e[8:]))},
			seq:    u32(4),
			taken:  now.Add(-time.Duration(u32(16)) * time.Millisecond),
			load: Load{
				Slots: int(min(u32(20), math.MaxInt32)),
				Busy:  int(min(u32(24), math.MaxInt32)),
				Load:  float64(u32(28)) / 1000,
			},
		}
	}
	return reports, nil
}

// clamp keeps a figure on the wire: a load average that is NaN or negative is a fault elsewhere, and reads as 0.
func clamp(v float64) uint32 {
	if !(v > 0) {
		return 0
	}
	return uint32(min(v, math.MaxInt32))
}
