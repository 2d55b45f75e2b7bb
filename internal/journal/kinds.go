package journal

import (
	"slices"
	"sync/atomic"
	"time"
)

// Kind is what kind of command a process is, as libmexec/kind.h tells; 0 is none.
type Kind uint64

// kinds are two tables behind the records: of kinds that take less time than sending them, which drivers read, and of what kind
// the processes are that they have started last, which they write.
type kinds struct{ memory []uint64 }

const (
	rows       = 512
	inRow      = 8
	starts     = 8192
	startWords = 4
	kindsWords = rows*inRow + starts*startWords

	stayed = 1 << 32
)

// set puts a kind among the short ones or takes it out. Where its row is full it stays out, and such commands travel.
func (k kinds) set(kind Kind, short bool) {
	row := k.memory[int(kind%rows)*inRow:][:inRow]
	at := slices.Index(row, uint64(kind))
	switch {
	case kind == 0 || short == (at >= 0):
	case !short:
		atomic.StoreUint64(&row[at], 0)
	default:
		if free := slices.Index(row, 0); free >= 0 {
			atomic.StoreUint64(&row[free], uint64(kind))
		}
	}
}

// Start is a process that a driver has started.
type Start struct {
	Kind   Kind
	At     time.Time
	Stayed bool // it was kept for being short; else it is behind the stub
}

// started says what a process is, if it is known. Of processes whose numbers share a place the last one is.
func (k kinds) started(pid int) (Start, bool) {
	var w [startWords]uint64
	place := k.memory[rows*inRow+int(uint32(pid)%starts)*startWords:]
	for i := range w {
		w[i] = atomic.LoadUint64(&place[i])
	}
	if w[0]&^stayed != uint64(uint32(pid)) || pid <= 0 || w[1] == 0 || w[3] != w[0]^w[1]^w[2] {
		return Start{}, false
	}
	return Start{Kind(w[1]), time.Unix(0, int64(w[2])), w[0]&stayed != 0}, true
}
