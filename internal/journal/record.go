package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"
	"time"

	"mexec"
)

// The layout is libmexec/journal.h's.
const (
	magic     = 0x4c4e524a4345584d // "MXECJRNL"
	version   = 2
	headLen   = 128
	recordLen = 128
	records   = 64 << 10
	buildAt   = 24
	buildLen  = 40 // with its NUL
	nextAt    = 64
	textAt    = 32
	above     = 24

	busy      = 1 << 63
	takenBack = 1 << 62
)

type kind uint32

const (
	kept kind = 1 + iota
	reaped
	forked
	begun
)

// Short is why what is known to be short is kept.
const Short = "takes less time than sending it"

// whys are the texts of enum kept.
var whys = map[uint32]string{
	1:  "a make: what it starts spreads",
	2:  "chooses nodes itself",
	3:  "recursive: starts a make, or is marked +",
	4:  "policy: a driver, what it starts travels",
	5:  "policy: local",
	6:  "$(shell)",
	7:  "arguments and environment may be too long",
	8:  "the kernel would refuse it",
	9:  "not sure that the kernel would execute it",
	10: "mexec itself could not be started",
	11: Short,
}

// record is one of the ring, without its mark.
type record struct {
	at      time.Time
	kind    kind
	detail  uint32
	pid, by int
	command string      // kept
	usage   mexec.Usage // reaped
	above   []int       // begun
}

var le = binary.LittleEndian

// head is the ring's begin, as it is before anything was written.
func head(build mexec.BuildID, owner int) ([]byte, error) {
	if len(build) >= buildLen || strings.Contains(string(build), "\x00") {
		return nil, fmt.Errorf("journal: build %q: not a name of less than %d bytes", build, buildLen)
	}
	b := make([]byte, headLen)
	le.PutUint64(b, magic)
	le.PutUint32(b[8:], version)
	le.PutUint32(b[12:], recordLen)
	le.PutUint32(b[16:], records)
	le.PutUint32(b[20:], uint32(owner))
	copy(b[buildAt:], build)
	return b, nil
}

// parse takes any bytes: who can write to the memory is the user's own process, but not always ours. False: no record of a kind that we know.
func parse(b *[recordLen]byte) (record, bool) {
	r := record{
		at:     time.Unix(0, int64(le.Uint64(b[8:]))),
		kind:   kind(le.Uint32(b[16:])),
		detail: le.Uint32(b[20:]),
		pid:    int(int32(le.Uint32(b[24:]))),
		by:     int(int32(le.Uint32(b[28:]))),
	}
	rest := b[textAt:]
	switch r.kind {
	case kept:
		text, _, _ := bytes.Cut(rest, []byte{0})
		r.command = strings.ToValidUTF8(string(text), "\uFFFD")
	case reaped:
		r.usage = mexec.Usage{User: microseconds(rest), System: microseconds(rest[8:]), MaxRSS: int64(le.Uint64(rest[16:]) & (1<<62 - 1))}
	case forked:
	case begun:
		for i := range above {
			pid := int(int32(le.Uint32(rest[4*i:])))
			if pid <= 0 {
				break
			}
			r.above = append(r.above, pid)
		}
	default:
		return record{}, false
	}
	return r, r.pid > 0
}

func microseconds(b []byte) time.Duration {
	const most = uint64(1<<62) / uint64(time.Microsecond)
	return time.Duration(min(le.Uint64(b), most)) * time.Microsecond
}

// event is what the records of our vocabulary say; usage is the reaped one's own.
func (r record) event(usage mexec.Usage) mexec.Event {
	if r.kind == kept {
		why, ok := whys[r.detail]
		if !ok {
			why = fmt.Sprint("reason ", r.detail)
		}
		return mexec.Event{Kind: mexec.Kept, At: r.at, PID: r.pid, Command: r.command, Why: why}
	}
	return mexec.Event{Kind: mexec.Reaped, At: r.at, PID: r.pid, Status: status(syscall.WaitStatus(r.detail)), Usage: usage}
}

func status(s syscall.WaitStatus) mexec.Status {
	if s.Signaled() {
		return mexec.Status{Signal: s.Signal(), Core: s.CoreDump()}
	}
	return mexec.Status{Code: s.ExitStatus()}
}
