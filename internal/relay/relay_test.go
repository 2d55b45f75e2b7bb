package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"mexec/internal/wire/mexecpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ends are two ends of something: what is written to w can be read from r. Both are blocking, as a caller's are.
type ends struct{ r, w int }

// streams makes one of each kind of thing that a caller's descriptor can be.
func streams(t *testing.T) map[string]ends {
	t.Helper()
	var p, s [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]ends{"pipe": {p[0], p[1]}, "socket": {s[0], s[1]}}
	if r, w, err := keyboard(); err == nil {
		all["terminal"] = ends{r, w}
	}
	t.Cleanup(func() {
		for _, e := range all {
			unix.Close(e.r)
			unix.Close(e.w)
		}
	})
	return all
}

// keyboard makes a raw terminal: the person's end, and the program's.
func keyboard() (master, slave int, err error) {
	if master, err = unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err != nil {
		return
	}
	unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0)
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return master, -1, errno
	}
	slave = int(fd)
	attr, err := unix.IoctlGetTermios(slave, unix.TCGETS)
	if err != nil {
		return
	}
	attr.Iflag, attr.Oflag, attr.Lflag = 0, 0, 0
	attr.Cc[unix.VMIN], attr.Cc[unix.VTIME] = 1, 0
	return master, slave, unix.IoctlSetTermios(slave, unix.TCSETS, attr)
}

func nonblocking(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return err != nil || flags&unix.O_NONBLOCK != 0
}

func TestASinkWritesAllAndSetsNoFlag(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	for kind, e := range streams(t) {
		got := make(chan []byte)
		go func() {
			buf := make([]byte, len(data))
			n := 0
			for n < len(buf) {
				time.Sleep(time.Microsecond) // slower than the writer
				k, err := unix.Read(e.r, buf[n:min(len(buf), n+10_000)])
				if k <= 0 && !errors.Is(err, unix.EINTR) {
					break
				}
				n += max(0, k)
			}
			got <- buf[:n]
		}()
		s := NewSink(e.w)
		for b := data; len(b) > 0; {
			n := min(len(b), 32<<10)
			if err := s.Write(t.Context(), b[:n]); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if nonblocking(e.w) || nonblocking(e.r) {
				t.Fatalf("%s: the caller's open file was made non-blocking", kind)
			}
			b = b[n:]
		}
		if !bytes.Equal(<-got, data) || s.Broken() {
			t.Errorf("%s: other bytes came", kind)
		}
		s.Close()
		if _, err := unix.FcntlInt(uintptr(e.w), unix.F_GETFD, 0); err != nil {
			t.Errorf("%s: the caller's descriptor was closed", kind)
		}
	}
}

func TestTheEndOfTheContextEndsAWriteThatNobodyReads(t *testing.T) {
	for kind, e := range streams(t) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		s := NewSink(e.w)
		var err error
		for range 1000 {
			if err = s.Write(ctx, make([]byte, 32<<10)); err != nil {
				break
			}
		}
		if err == nil || ctx.Err() == nil {
			t.Errorf("%s: a write to nobody ends with %v", kind, err)
		}
		s.Close()
		cancel()
	}
}

func TestASinkWithoutAReaderIsBrokenAndTakesTheRest(t *testing.T) {
	for kind, e := range streams(t) {
		if kind == "terminal" {
			continue // hung up, it takes what comes
		}
		s := NewSink(e.w)
		if err := s.Write(t.Context(), []byte("x")); err != nil {
			t.Fatal(err)
		}
		unix.Close(e.r)
		if err := s.Write(t.Context(), []byte("y")); !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) || !s.Broken() {
			t.Errorf("%s: %v", kind, err)
		}
		if err := s.Write(t.Context(), []byte("z")); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		s.Close()
	}
}

func TestASourceReadsWhatThereIsAndNoMoreThanAsked(t *testing.T) {
	for kind, e := range streams(t) {
		unix.Write(e.w, []byte("0123456789"))
		r := e.r
		if kind == "terminal" { // a program reads from the slave what the person types
			unix.Read(e.r, make([]byte, 10))
			unix.Write(e.r, []byte("0123456789"))
			r = e.w
		}
		s := NewSource(r)
		b := make([]byte, 4)
		n, err := s.Read(t.Context(), b)
		if err != nil || string(b[:n]) != "0123" {
			t.Errorf("%s: %q, %v", kind, b[:n], err)
		}
		if nonblocking(r) {
			t.Errorf("%s: the caller's open file was made non-blocking", kind)
		}
		s.Close()
		rest := make([]byte, 10)
		if n, _ := unix.Read(r, rest); string(rest[:n]) != "456789" {
			t.Errorf("%s: %q is left for the next", kind, rest[:n])
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		s = NewSource(r)
		if n, err := s.Read(ctx, b); n != 0 || err == nil {
			t.Errorf("%s: %d bytes from nobody, %v", kind, n, err)
		}
		s.Close()
		cancel()
	}
}

func TestTheEndOfAPipeIsEOF(t *testing.T) {
	e := streams(t)["pipe"]
	unix.Close(e.w)
	s := NewSource(e.r)
	defer s.Close()
	if n, err := s.Read(t.Context(), make([]byte, 4)); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
}

func TestWhatIsGivenBackOfAFileIsReadByTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("0123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := NewSource(int(f.Fd()))
	if n, err := s.Read(t.Context(), make([]byte, 100)); n != 10 || err != nil {
		t.Error(n, err)
	}
	s.GiveBack(7)
	s.GiveBack(-1) // of a worker that says that more was taken than given
	s.Close()
	rest, _ := io.ReadAll(f)
	if string(rest) != "3456789" {
		t.Errorf("%q", rest)
	}
}

func TestOfAPipeOnlyAsMuchAccessIsTakenAsTheCallerHas(t *testing.T) {
	e := streams(t)["pipe"]
	if f := anew(e.r, unix.O_WRONLY); f != nil {
		t.Error("a pipe that can be read was opened for writing")
		f.Close()
	}
	if f := anew(e.w, unix.O_RDONLY); f != nil {
		t.Error("a pipe that can be written was opened for reading")
		f.Close()
	}
	for fd, flags := range map[int]int{e.r: unix.O_RDONLY, e.w: unix.O_WRONLY} {
		f := anew(fd, flags)
		if f == nil {
			t.Fatal("a pipe was not opened anew")
		}
		f.Close()
	}
}

func TestKindSaysWhatADescriptorIsToTheJob(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer zero.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	e := streams(t)
	for fd, want := range map[int]mexecpb.Stdio{
		int(null.Fd()): mexecpb.Stdio_STDIO_NULL, int(zero.Fd()): mexecpb.Stdio_STDIO_STREAM, int(file.Fd()): mexecpb.Stdio_STDIO_FILE,
		e["pipe"].r: mexecpb.Stdio_STDIO_STREAM, e["socket"].r: mexecpb.Stdio_STDIO_STREAM, 1 << 20: mexecpb.Stdio_STDIO_CLOSED,
	} {
		if got := Kind(fd); got != want {
			t.Errorf("%d: %v, want %v", fd, got, want)
		}
	}
}

func TestTwoDescriptorsAreMergedIfTheyAreOneOpenFileOrOneStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	one, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	same, err := unix.Dup(int(one.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(same)
	other, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	a, b := streams(t)["pipe"], streams(t)["pipe"]
	anew, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(a.w), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer anew.Close()
	for _, c := range []struct {
		a, b int
		want bool
	}{
		{int(one.Fd()), same, true},
		{int(one.Fd()), int(other.Fd()), false}, // each has its own position
		{a.w, int(anew.Fd()), true},
		{a.w, b.w, false},
		{a.w, 1 << 20, false},
	} {
		if got := Merged(c.a, c.b); got != c.want {
			t.Errorf("%d and %d: %v", c.a, c.b, got)
		}
	}
}

func TestAFeedOfOnePageWaitsUntilTheJobHasReadIt(t *testing.T) {
	f, job, err := NewFeed(Page)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if nonblocking(int(job.Fd())) {
		t.Error("the job's stdin is non-blocking")
	}
	done := make(chan error, 1)
	go func() { done <- f.Write(make([]byte, Page)) }()
	eat := func(n int) {
		b := make([]byte, n)
		if _, err := io.ReadFull(job, b); err != nil {
			t.Error(err)
		}
	}
	eat(1)
	eat(Page - 2)
	select {
	case err := <-done:
		t.Fatalf("there was a byte unread: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if got := f.Taken(); got != Page-1 {
		t.Errorf("%d bytes taken", got)
	}
	eat(1)
	if err := <-done; err != nil || f.Taken() != Page {
		t.Error(err, f.Taken())
	}
	f.Finish()
	if n, err := job.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
}

func TestCloseEndsAFeedThatTheJobDoesNotRead(t *testing.T) {
	for _, window := range []int{Page, FileWindow} {
		f, job, err := NewFeed(window)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			var err error
			for err == nil {
				err = f.Write(make([]byte, window))
			}
			done <- err
		}()
		for unread(int(job.Fd())) < window {
			runtime.Gosched()
		}
		f.Close()
		select {
		case err := <-done:
			if err == nil || strings.Contains(err.Error(), "deadline") {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it feeds on")
		}
	}
}
