package journal

import (
	"sync/atomic"
)

// ring reads the records that others write meanwhile. It waits for none: one that is not finished is looked at again the next time.
//
//	           mark (n: the record's number)
//	later      less than n+1, or n+1 and busy: it is being written, or its writer was killed there, or gave way to another
//	there      n+1
//	taken back n+1, with that bit: it was never true
//	gone       more: a later one has overwritten it
type ring struct {
	memory []uint64 // head and records
	next   uint64   // the first that was not looked at
	later  []uint64 // those before it that were not finished, ascending
	gaps   int      // records that were lost
}

const (
	headWords   = headLen / 8
	recordWords = recordLen / 8
)

// read returns the records that have been finished since, in the order of their numbers. Of what is not finished at the last time, nothing will come.
func (r *ring) read(last bool) []record {
	end := atomic.LoadUint64(&r.memory[nextAt/8])
	if end < r.next || end > busy>>1 {
		return nil // nobody of ours has written that
	}
	var first uint64 // that can still be there
	if end > records {
		first = end - records
	}
	var out []record
	look := r.later
	r.later = nil
	if r.next < first {
		r.gaps += int(first - r.next)
		r.next = first
	}
	for _, n := range look {
		out = r.take(n, out)
	}
	for ; r.next < end; r.next++ {
		out = r.take(r.next, out)
	}
	if last {
		r.gaps += len(r.later)
		r.later = nil
	}
	return out
}

func (r *ring) take(n uint64, out []record) []record {
	at := headWords + int(n%records)*recordWords
	slot := r.memory[at : at+recordWords]
	mark := atomic.LoadUint64(&slot[0])
	switch number := mark &^ (busy | takenBack); {
	case number > n+1:
		r.gaps++
		return out
	case number < n+1 || mark&busy != 0:
		r.later = append(r.later, n)
		return out
	case mark&takenBack != 0:
		return out
	}
	var b [recordLen]byte
	for i := 1; i < recordWords; i++ {
		le.PutUint64(b[8*i:], atomic.LoadUint64(&slot[i]))
	}
	switch again := atomic.LoadUint64(&slot[0]); {
	case again == mark|takenBack:
	case again != mark:
		r.gaps++ // overwritten under our eyes
	default:
		if parsed, ok := parse(&b); ok {
			out = append(out, parsed)
		}
	}
	return out
}
