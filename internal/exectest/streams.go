package exectest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// Descriptors 0 to 2.

var streams = map[string]Test{
	"stdio: 0 closed":                   same(Call{Setup: orders("close 0")}),
	"stdio: 1 closed":                   same(Call{Setup: orders("close 1")}),
	"stdio: 2 closed":                   same(Call{Setup: orders("close 2")}),
	"stdio: 0 and 1 closed":             same(Call{Setup: orders("close 0 close 1")}),
	"stdio: all closed":                 same(Call{Setup: orders("close 0 close 1 close 2")}),
	"stdio: the null device":            same(Call{Setup: orders("open 0 /dev/null 0 0 open 1 /dev/null 1 0 open 2 /dev/null 2 0")}),
	"stdio: the null device twice":      same(Call{Setup: orders("open 1 /dev/null 1 0 open 2 /dev/null 1 0")}),
	"stdio: 1 and 2 are one":            same(Call{Setup: orders("dup 1 2")}),
	"stdio: 0, 1 and 2 are one":         same(Call{Setup: orders("open 0 DIR/log 1090 0 dup 0 1 dup 0 2")}),
	"stdio: a directory as 0":           same(Call{Setup: orders("open 0 DIR 0 0")}),
	"stdio: 1 to read from, 0 to write": same(Call{Setup: orders("open 0 /dev/null 1 0 open 1 /dev/null 0 0")}),
	"stdin: a file":                     made(text("in", 10_000), Call{Setup: orders("open 0 DIR/in 0 0"), Env: []string{"PROBE=tell copy 100000"}}),
	"stdin: a file from its middle":     made(text("in", 10_000), Call{Setup: orders("open 0 DIR/in 0 5000"), Env: []string{"PROBE=tell copy 100"}}),
	"stdin: a file that is sought in":   made(text("in", 10_000), Call{Setup: orders("open 0 DIR/in 0 0"), Env: []string{"PROBE=seek 777"}}),
	"stdin: an empty file":              made(text("in", 0), Call{Setup: orders("open 0 DIR/in 0 0"), Env: []string{"PROBE=copy 10"}}),
	"stdin: a file to write only":       made(text("in", 10), Call{Setup: orders("open 0 DIR/in 1 0"), Env: []string{"PROBE=copy 10"}}),
	"stdin: closed, and read":           same(Call{Setup: orders("close 0"), Env: []string{"PROBE=copy 10"}}),
	"stdin: a pipe":                     input(100_000, "PROBE=tell copy 1000000"),
	"stdin: a pipe, of which a part":    input(1000, "PROBE=copy 10"),
	"stdin: a pipe that nobody reads":   input(1000, "PROBE=exit 3"),
	"stdin: a socket":                   same(Call{Setup: append(orders("socketpair 0 9 fill 9"), "hello", "close", "9"), Env: []string{"PROBE=tell copy 100"}}),
	"stdin: a socket to shut":           same(Call{Setup: orders("socketpair 0 1"), Env: []string{"PROBE=tell exit 0"}}),
	"stdin: shared line by line":        lines,
	"stdout: a file":                    toFile(os.O_WRONLY, ""),
	"stdout: a file to append to":       toFile(os.O_WRONLY|os.O_APPEND, "before\n"),
	"stdout: a file from its middle":    same(Call{Setup: orders("open 1 DIR/out 66 5"), Env: []string{"PROBE=tell write 1"}}),
	"stdout: to read only":              same(Call{Setup: orders("open 1 /dev/null 0 0"), Env: []string{"PROBE=write 1"}}),
	"stdout: full":                      same(Call{Setup: orders("open 1 /dev/full 1 0"), Env: []string{"PROBE=write 1"}}),
	"stdout: closed, and written":       same(Call{Setup: orders("close 1"), Env: []string{"PROBE=write 1"}}),
	"stdout: nobody reads":              broken(nil),
	"stdout: nobody reads, ignored":     broken(orders("ignore 13")),
	"output: 1 and 2 in their order":    order,
	"output: a mebibyte":                same(Call{Env: []string{"PROBE=spill 1048576"}}),
	"output: all of it before the end":  whileEnding,
	"output: a gibibyte, read slowly":   gibibyte,
}

func text(name string, size int) func(*stage) error {
	return func(s *stage) error {
		return os.WriteFile(s.path(name), []byte(strings.Repeat("0123456789abcde\n", size/16+1)[:size]), 0o666)
	}
}

// input gives bytes through a pipe and looks how many nobody has read.
func input(size int, act string) Test {
	return func(t *testing.T, r Runner) {
		s := newStage(t, r)
		give := func(r Runner) Outcome {
			in, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				w.Write(bytes.Repeat([]byte("x"), size))
				w.Close()
			}()
			o := s.run(Call{Env: []string{act}, Stdin: in}, r)
			rest, _ := io.Copy(io.Discard, in)
			in.Close()
			<-done
			o["unread"] = fmt.Sprint(rest)
			return o
		}
		s.compare(give(s.kernel()), give(r))
	}
}

// lines is `while read l; do mexec cmd; done <file`: each program takes a line, and the next finds the next.
func lines(t *testing.T, r Runner) {
	s := newStage(t, r)
	var b strings.Builder
	for i := range 20 {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	if err := os.WriteFile(s.path("in"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	take := func(r Runner) Outcome {
		in, err := os.Open(s.path("in"))
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		o := make(Outcome)
		for i := range 21 {
			o[fmt.Sprint(i)] = s.run(Call{Env: []string{"PROBE=line 0"}, Stdin: in}, r)["stdout"]
		}
		at, _ := in.Seek(0, io.SeekCurrent)
		o["offset"] = fmt.Sprint(at)
		return o
	}
	s.compare(take(s.kernel()), take(r))
}

func toFile(flags int, before string) Test {
	return func(t *testing.T, r Runner) {
		s := newStage(t, r)
		put := func(r Runner) Outcome {
			if err := os.WriteFile(s.path("out"), []byte(before), 0o666); err != nil {
				t.Fatal(err)
			}
			out, err := os.OpenFile(s.path("out"), flags, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			o := s.run(Call{Env: []string{"PROBE=tell spill 100000"}, Stdout: out}, r)
			at, _ := out.Seek(0, io.SeekCurrent)
			b, err := os.ReadFile(s.path("out"))
			o["file"] = fmt.Sprintf("%x %v offset %d", sha256.Sum256(b), err, at)
			return o
		}
		s.compare(put(s.kernel()), put(r))
	}
}

// broken takes a little of endless output and goes.
func broken(setup []string) Test {
	return func(t *testing.T, r Runner) {
		s := newStage(t, r)
		end := func(r Runner) Outcome {
			out, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd, errnoFile := s.prepare(Call{Setup: setup, Env: []string{"PROBE=until-broken"}}, r)
			cmd.Stdout = w
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			io.ReadFull(out, make([]byte, 100))
			out.Close()
			s.wait(cmd)
			return s.outcome(cmd, r, errnoFile, "", "")
		}
		s.compare(end(s.kernel()), end(r))
	}
}

// order: the program writes in turn to two descriptors that are one open file.
func order(t *testing.T, r Runner) {
	s := newStage(t, r)
	s.same(Call{Setup: orders("dup 1 2"), Env: []string{"PROBE=interleave 2000"}})
}

// whileEnding: who sees the end of the caller's child finds all of its output in the file.
func whileEnding(t *testing.T, r Runner) {
	s := newStage(t, r)
	for range 5 {
		out, err := os.Create(s.path("out"))
		if err != nil {
			t.Fatal(err)
		}
		o := s.run(Call{Env: []string{"PROBE=spill 300000"}, Stdout: out}, r)
		st, err := out.Stat()
		out.Close()
		if err != nil || st.Size() != 300_000 || o["status"] != "exit 0" {
			t.Errorf("%d bytes at the end, %v: %v", st.Size(), o, err)
		}
	}
}

// gibibyte goes through while its reader is slow, and the daemons must not take it in.
func gibibyte(t *testing.T, r Runner) {
	size := int64(1 << 30)
	if testing.Short() {
		size = 64 << 20
	}
	s := newStage(t, r)
	cmd, errnoFile := s.prepare(Call{Env: []string{fmt.Sprint("PROBE=spill ", size)}}, r)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var before, most int64
	if r.Memory != nil {
		before = r.Memory()
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sum, want, got := sha256.New(), sha256.New(), int64(0)
	buf := make([]byte, 64<<10)
	for {
		n, err := out.Read(buf)
		sum.Write(buf[:n])
		got += int64(n)
		if err != nil {
			break
		}
		if r.Memory != nil && got>>25 != (got-int64(n))>>25 { // a look each 32 MiB, which is the slowness too
			most = max(most, r.Memory())
		}
	}
	s.wait(cmd)
	if o := s.outcome(cmd, r, errnoFile, "", ""); o["status"] != "exit 0" {
		t.Error(o)
	}
	for i := range buf {
		buf[i] = byte(i*7 + i>>8)
	}
	for left := size; left > 0; left -= int64(len(buf)) {
		want.Write(buf[:min(left, int64(len(buf)))])
	}
	if got != size || !bytes.Equal(sum.Sum(nil), want.Sum(nil)) {
		t.Errorf("%d of %d bytes, or others", got, size)
	}
	if most > before+100<<20 {
		t.Errorf("the daemons grew from %d to %d MiB", before>>20, most>>20)
	}
}
