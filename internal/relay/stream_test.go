package relay

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// over waits for a result, for as long as a busy machine may need.
func over[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: not over", what)
	}
	return v
}

func result[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

func newStream(t *testing.T, read, write bool) (*Stream, *os.File) {
	t.Helper()
	s, job, err := NewStream(read, write)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); job.Close() })
	return s, job
}

func TestWhatIsFedIsWaitedForUntilTheJobHasReadIt(t *testing.T) {
	for _, write := range []bool{false, true} {
		s, job := newStream(t, true, write)
		fed := result(func() error { return s.Feed([]byte("0123456789")) })
		b := make([]byte, 4)
		for _, want := range []string{"0123", "4567"} {
			if n, err := job.Read(b); string(b[:n]) != want || err != nil {
				t.Errorf("%q, %v", b[:n], err)
			}
			select {
			case <-fed:
				t.Fatal("more would be fed before all was read")
			default:
			}
		}
		job.Read(b)
		if err := over(t, "feed", fed); err != nil {
			t.Error(err)
		}
		s.Finish()
		if n, err := job.Read(b); n != 0 || err != io.EOF {
			t.Errorf("%d bytes after the end, %v", n, err)
		}
	}
}

func TestTheJobsCloseEndsAFeedAndIsSeen(t *testing.T) {
	for _, write := range []bool{false, true} {
		s, job := newStream(t, true, write)
		closed := result(s.Closed)
		fed := result(func() error { return s.Feed([]byte("x")) })
		job.Close()
		if err := over(t, "feed", fed); err == nil {
			t.Error("what the job has not read counts as read")
		}
		if !over(t, "closed", closed) {
			t.Error("the job's close is not seen")
		}
		if err := s.Feed([]byte("x")); !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
			t.Error(err)
		}
	}
}

func TestOurCloseEndsEverything(t *testing.T) {
	for _, write := range []bool{false, true} {
		s, _ := newStream(t, true, write)
		closed := result(s.Closed)
		fed := result(func() error { return s.Feed([]byte("x")) })
		s.Close()
		over(t, "feed", fed)
		if over(t, "closed", closed) {
			t.Error("our own close is not the job's")
		}
	}
}

func TestABrokenStreamFailsTheJobsNextWrite(t *testing.T) {
	for _, read := range []bool{false, true} {
		s, job := newStream(t, read, true)
		if _, err := job.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		s.Broken()
		if _, err := job.Write([]byte("y")); !errors.Is(err, unix.EPIPE) {
			t.Errorf("%v", err)
		}
	}
}

func TestAJobThatShutsDownItsWritingHasNotClosed(t *testing.T) {
	s, job := newStream(t, true, true)
	job.Write([]byte("last"))
	unix.Shutdown(int(job.Fd()), unix.SHUT_WR)
	b := make([]byte, 10)
	if n, _ := s.Read(b); string(b[:n]) != "last" {
		t.Errorf("%q", b[:n])
	}
	if n, err := s.Read(b); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
	closed := result(s.Closed)
	fed := result(func() error { return s.Feed([]byte("answer")) })
	if n, _ := job.Read(b); string(b[:n]) != "answer" {
		t.Errorf("%q", b[:n])
	}
	over(t, "feed", fed)
	select {
	case <-closed:
		t.Error("closed")
	default:
	}
	job.Close()
	if !over(t, "closed", closed) {
		t.Error("not closed")
	}
}
