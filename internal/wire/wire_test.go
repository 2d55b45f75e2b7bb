package wire

import (
	"bytes"
	"os"
	"reflect"
	"syscall"
	"testing"
)

func example() *ExecBody {
	e := &ExecBody{
		Flags: Verbose | Driver | RerunSafe, FDs: 7, Umask: 0o27, Nice: -3, Pgid: 77, Ppid: 76,
		SigIgn: 1 << 12, SigBlk: 1 << 63,
		UID: [3]uint32{1000, 1000, 1000}, GID: [3]uint32{100, 100, 100},
		Dir:        Directory{Dev: 1, Ino: 2, Ctime: Time{3, 4}, Taken: Time{5, 6}, FS: 0x6969},
		Prog:       Program{Dev: 7, Ino: 8, Size: 9, Mtime: Time{10, 11}, Mode: 0o100755, FS: 0xef53},
		Sched:      Scheduling{Policy: 3, ResetOnFork: true, IOPrio: 0x4003, OOMScoreAdj: -17, Personality: 0x40000, TimerSlack: 60000, CPUs: 2},
		Securebits: 1,
		Groups:     []uint32{4, 24, 100}, Descriptors: []uint32{3, 63}, Unsent: 5,
		Cwd: []byte("/src/a b"), Path: []byte("/usr/bin/cc"), Nodes: []byte("1-3,node[5-8]"), Build: []byte("b42"), Repeat: []byte("protoc moc*"), Kind: 0x0123456789abcdef,
		Argc: 3, Envc: 3,
		Argv: Strings([]string{"cc", "", "-DX=\xff\xfe"}), Env: Strings([]string{"A=1", "no equals sign", "A=2"}),
	}
	for i := range e.Rlimit {
		e.Rlimit[i] = [2]uint64{uint64(i), ^uint64(0)}
	}
	return e
}

func TestExecBodyComesBackAsItWent(t *testing.T) {
	want := example()
	got, err := ParseExec(want.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if v, ok := got.Getenv("A"); !ok || v != "1" {
		t.Errorf("Getenv(A) = %q, %v: the first match counts", v, ok)
	}
	if _, ok := got.Getenv("no"); ok {
		t.Error("a string without = is no variable")
	}
}

func TestExecBodyMayGrowAtTheEndOfItsHead(t *testing.T) {
	old := example().Append(nil)
	grown := append(append(append([]byte{}, old[:headLen]...), make([]byte, 24)...), old[headLen:]...)
	le.PutUint32(grown, headLen+24)
	got, err := ParseExec(grown)
	if err != nil || !reflect.DeepEqual(got, example()) {
		t.Errorf("a body from a newer stub: %+v, %v", got, err)
	}
}

func TestNoCutOfAnExecBodyIsTakenForAWholeOne(t *testing.T) {
	body := example().Append(nil)
	for n := range body {
		if _, err := ParseExec(body[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were taken", n, len(body))
		}
	}
	if _, err := ParseExec(append(body, 'x')); err == nil {
		t.Error("a byte too many was taken")
	}
}

func TestDescriptorsAreNumbersAboveTwoInTheirOrder(t *testing.T) {
	for _, list := range [][]uint32{{2}, {0}, {4, 3}, {3, 3}, {1 << 31}, make([]uint32, MaxDescriptors+1)} {
		e := example()
		e.Descriptors = list
		if _, err := ParseExec(e.Append(nil)); err == nil {
			t.Errorf("%v was taken", list)
		}
	}
}

func TestFramesComeBackAsTheyWent(t *testing.T) {
	for _, frame := range [][]byte{
		AppendText(nil, Here, "the only node"),
		AppendNumber(nil, Exited, 255),
		AppendFailed(nil, 125, "lost"),
		AppendSignal(nil, SignalBody{syscall.SIGINT, true}),
		AppendExec(nil, example().Append(nil)),
	} {
		h, err := ParseHeader(frame)
		if err != nil || h.Len != len(frame)-HeaderLen {
			t.Errorf("% x: %v, %v", frame[:8], h, err)
		}
	}
	s, err := ParseSignal(AppendSignal(nil, SignalBody{syscall.SIGTSTP, true})[HeaderLen:])
	if err != nil || s != (SignalBody{syscall.SIGTSTP, true}) {
		t.Errorf("%v, %v", s, err)
	}
}

func TestHeadersThatAreNotOursAreRefused(t *testing.T) {
	for _, b := range [][]byte{
		[]byte("GET / HTTP/1.1"),
		{'M', 'X', 2, 1, 0, 0, 0, 0},
		{'M', 'X', 1, 99, 0, 0, 0, 0},
		{'M', 'X', 1, 1, 0, 0, 0, 1},
		{'M', 'X', 1, 2, 1, 0, 1, 0},
		{'M', 'X', 1},
	} {
		if h, err := ParseHeader(b); err == nil {
			t.Errorf("%q was taken as %v", b, h)
		}
	}
}

// The files are what the C side writes (libmexec/tests/golden.c): one protocol, two codecs.
func TestBothSidesWriteTheSameBytes(t *testing.T) {
	for name, frame := range map[string][]byte{
		"exec":    AppendExec(nil, example().Append(nil)),
		"signal":  AppendSignal(nil, SignalBody{syscall.SIGTSTP, true}),
		"here":    AppendText(nil, Here, "the only node"),
		"sent":    AppendText(nil, Sent, "n2: least loaded"),
		"waiting": AppendText(nil, Waiting, ""),
		"exited":  AppendNumber(nil, Exited, 255),
		"killed":  AppendNumber(nil, Killed, 9),
		"stopped": AppendNumber(nil, Stopped, 20),
		"failed":  AppendFailed(nil, 125, "lost"),
	} {
		golden, err := os.ReadFile("testdata/" + name + ".golden")
		if err != nil || !bytes.Equal(frame, golden) {
			t.Errorf("%s: %v\n got % x\nwant % x", name, err, frame, golden)
		}
	}
}

func FuzzParseExec(f *testing.F) {
	f.Add(example().Append(nil))
	f.Add(make([]byte, headLen))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseExec(b)
		if err != nil {
			return
		}
		e.Getenv("NODES")
		e.Command(60)
		again, err := ParseExec(e.Append(nil))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("%+v came back as %+v, %v", e, again, err)
		}
	})
}

func FuzzParseHeader(f *testing.F) {
	f.Add(AppendText(nil, Query, "nodes"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err == nil && !bytes.Equal(appendHeader(nil, h.Type, h.Len), b[:HeaderLen]) {
			t.Errorf("% x is not canonical", b[:HeaderLen])
		}
		if len(b) >= HeaderLen {
			ParseSignal(b[HeaderLen:])
		}
	})
}

func TestAnotherEnvironmentChangesNothingElseOfABody(t *testing.T) {
	e := &ExecBody{
		Cwd: []byte("/"), Path: []byte("/bin/true"), Groups: []uint32{1, 2}, Argc: 2, Argv: Strings([]string{"true", ""}),
		Envc: 3, Env: Strings([]string{"A=1", "B", ""}),
	}
	for _, env := range [][]string{{"A=12345", "B", ""}, {"", "", ""}, {"A=1", "B", ""}} {
		body := e.Append(nil)
		parsed, err := ParseExec(body)
		if err != nil {
			t.Fatal(err)
		}
		want := *e
		want.Env = Strings(env)
		if got := parsed.WithEnv(body, want.Env); !bytes.Equal(got, want.Append(nil)) {
			t.Errorf("%q: %q", env, got)
		}
		if !bytes.Equal(body, e.Append(nil)) {
			t.Error("the body was written to")
		}
	}
}
