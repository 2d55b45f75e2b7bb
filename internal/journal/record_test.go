package journal

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"mexec"
)

// golden is what the C side writes (libmexec/tests/golden.c), in a ring of full size.
func golden(t testing.TB) (b []byte, memory []uint64) {
	t.Helper()
	b, err := os.ReadFile("../wire/testdata/journal.golden")
	if err != nil {
		t.Fatal(err)
	}
	memory = make([]uint64, headWords+records*recordWords)
	for i := range len(b) / 8 {
		memory[i] = le.Uint64(b[8*i:])
	}
	return b, memory
}

func TestBothSidesMeanTheSameBytes(t *testing.T) {
	b, memory := golden(t)
	h, err := head("b42", 70)
	if err != nil || !bytes.Equal(h[:nextAt], b[:nextAt]) {
		t.Errorf("head % x, %v\nnot  % x", h, err, b[:nextAt])
	}
	r := ring{memory: memory}
	got := r.read(true)
	at := time.Unix(1234567890, 987654321)
	want := []record{
		{at: at, kind: kept, detail: 3, pid: 81, by: 80, command: "sh -c cd sub && make"},
		{at: at, kind: reaped, detail: 3 << 8, pid: 82, by: 80, usage: mexec.Usage{User: 1500 * time.Millisecond, System: 250 * time.Millisecond, MaxRSS: 4096}},
		{at: at, kind: forked, pid: 83, by: 80},
		{at: at, kind: begun, pid: 84, by: 81, above: []int{81, 80, 70}},
		{at: at, kind: reaped, detail: 11 | 0x80, pid: 85, by: 84},
	}
	if !reflect.DeepEqual(got, want) || r.gaps != 0 {
		t.Errorf("got %+v\nwant %+v; %d gaps", got, want, r.gaps)
	}
}

func TestRecordsBecomeEvents(t *testing.T) {
	_, memory := golden(t)
	r := ring{memory: memory}
	all := r.read(true)
	at := all[0].at
	for i, want := range map[int]mexec.Event{
		0: {Kind: mexec.Kept, At: at, PID: 81, Command: "sh -c cd sub && make", Why: "recursive: starts a make, or is marked +"},
		1: {Kind: mexec.Reaped, At: at, PID: 82, Status: mexec.Status{Code: 3}, Usage: all[1].usage},
		4: {Kind: mexec.Reaped, At: at, PID: 85, Status: mexec.Status{Signal: syscall.SIGSEGV, Core: true}},
	} {
		if got := all[i].event(all[i].usage); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v\nnot %+v", got, want)
		}
	}
	if got := (record{kind: kept, detail: 99}).event(mexec.Usage{}).Why; got != "reason 99" {
		t.Errorf("of a reason that a newer shim has: %q", got)
	}
}

func TestABuildsNameFitsOrIsRefused(t *testing.T) {
	for _, name := range []string{strings.Repeat("b", buildLen), "a\x00b"} {
		if _, err := head(mexec.BuildID(name), 1); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	b, _ := golden(f)
	for at := headLen; at < len(b); at += recordLen {
		f.Add(b[at : at+recordLen])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var bytes [recordLen]byte
		copy(bytes[:], b)
		r, ok := parse(&bytes)
		if !ok {
			return
		}
		if r.pid <= 0 || r.usage.User < 0 || r.usage.System < 0 || r.usage.MaxRSS < 0 || len(r.command) > 3*(recordLen-textAt) || len(r.above) > above {
			t.Errorf("%+v", r)
		}
		r.event(r.usage)
	})
}
