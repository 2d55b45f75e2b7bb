package local

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"mexec/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a caller's end and the daemon's end of a new connection.
func pair(t *testing.T) (caller *net.UnixConn, daemon *Conn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if daemon, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); daemon.Close(); daemon.Done() })
	return c.(*net.UnixConn), daemon
}

func TestOneDaemonAtATimeServesASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep/er/s")
	first, err := Listen(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, true); err == nil || !strings.HasSuffix(err.Error(), "another mexecd serves it") {
		t.Errorf("a second one: %v", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the refused one took the first one's socket away: %v", err)
	} else {
		c.Close()
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	second, err := Listen(path, true)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	second.Close()
}

// A daemon that was killed leaves its socket and its lock file; the kernel has let go of the lock.
func TestNoTwoListenersEverServeOnePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	var serving, both, times atomic.Int32
	var wg sync.WaitGroup
	end := time.Now().Add(300 * time.Millisecond)
	for range 8 {
		wg.Go(func() {
			for time.Now().Before(end) {
				ln, err := Listen(path, false)
				if err != nil {
					continue
				}
				times.Add(1)
				if serving.Add(1) > 1 {
					both.Add(1)
				}
				time.Sleep(50 * time.Microsecond) // it serves for a while
				serving.Add(-1)
				ln.Close()
			}
		})
	}
	wg.Wait()
	t.Logf("%d listeners", times.Load())
	if n := both.Load(); n > 0 {
		t.Errorf("%d times two listeners served at once", n)
	}
}

func TestASocketThatNobodyServesIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err == nil {
		err = os.WriteFile(path+".lock", nil, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	l, err := Listen(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

func TestTheDescriptorsOfTheFirstFrameArriveInOrderAndUnchanged(t *testing.T) {
	caller, daemon := pair(t)
	var files []*os.File
	var fds []int
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		files, fds = append(files, r), append(fds, int(w.Fd())) // Fd makes it blocking
	}
	frame := wire.AppendExec(nil, []byte("body"))
	if _, _, err := caller.WriteMsgUnix(frame, unix.UnixRights(fds...), nil); err != nil {
		t.Fatal(err)
	}
	h, body, got, err := daemon.ReadFirst()
	if err != nil || h.Type != wire.Exec || string(body) != "body" || len(got) != 3 {
		t.Fatal(h, body, got, err)
	}
	for i, fd := range got {
		defer unix.Close(fd)
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d can leak into a job", i)
		}
		if flags, err := unix.FcntlInt(uintptr(fds[i]), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("the caller's open file %d was made non-blocking", i)
		}
		unix.Write(fd, []byte{byte(i)})
		b := []byte{9}
		if files[i].Read(b); b[0] != byte(i) {
			t.Errorf("descriptor %d is another one's", i)
		}
	}
}

// stream is a first frame and some that follow, as they lie on the wire.
func stream(rng *rand.Rand) (bytes []byte, bodies []string) {
	first := strings.Repeat("x", rng.IntN(40<<10))
	bytes, bodies = wire.AppendExec(nil, []byte(first)), []string{first}
	for range rng.IntN(5) {
		body := strings.Repeat("y", rng.IntN(3000))
		bytes, bodies = wire.AppendText(bytes, wire.Sent, body), append(bodies, body)
	}
	return bytes, bodies
}

func TestFramesAreTheSameHoweverTheyAreCutOnTheWay(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 50 {
		caller, daemon := pair(t)
		b, bodies := stream(rng)
		sizes := make([]int, 0, 100)
		for left := len(b); left > 0; {
			n := min(left, 1+rng.IntN(1<<rng.IntN(17)))
			sizes, left = append(sizes, n), left-n
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for _, n := range sizes {
				caller.Write(b[:n])
				b = b[n:]
			}
			caller.CloseWrite()
		}()
		_, body, _, err := daemon.ReadFirst()
		got := []string{string(body)}
		daemon.Take()
		for err == nil {
			if _, body, err = daemon.ReadFrame(); err == nil {
				got = append(got, string(body))
			}
		}
		<-sent
		if !errors.Is(err, io.EOF) || !slices.Equal(got, bodies) {
			t.Fatalf("%d frames of %d, then %v", len(got), len(bodies), err)
		}
	}
}

// What the daemon has read but not taken was not sent anywhere: a stub that loses it then may run the command, and else may not.
func TestAStubIsToldByTheKernelWhetherItsJobWasTaken(t *testing.T) {
	for taken, want := range map[bool]error{false: unix.ECONNRESET, true: io.EOF} {
		caller, daemon := pair(t)
		caller.Write(wire.AppendExec(nil, []byte("body")))
		if _, body, _, err := daemon.ReadFirst(); err != nil || string(body) != "body" {
			t.Fatalf("%q, %v", body, err)
		}
		if taken {
			daemon.Take()
		}
		daemon.Close()
		if _, err := caller.Read(make([]byte, 1)); !errors.Is(err, want) {
			t.Errorf("taken %v: %v", taken, err)
		}
	}
}

func TestABadFrameIsAnErrorAndNeverWaitsForMore(t *testing.T) {
	exec := wire.AppendExec(nil, []byte("some body"))
	for want, bytes := range map[string][]byte{
		"EOF":             nil,
		"frame cut short": exec[:5],
		"EXEC frame: 4294967295 bytes, at most 8388608": append(bytes.Clone(exec[:4]), 0xff, 0xff, 0xff, 0xff),
		"not a frame of the local protocol":             []byte("GET / HTTP/1.1\r\n"),
	} {
		caller, daemon := pair(t)
		caller.Write(bytes)
		if want == "EOF" || want == "frame cut short" {
			caller.CloseWrite()
		}
		if _, _, _, err := daemon.ReadFirst(); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q, want %q", err, want)
		}
	}
	caller, daemon := pair(t)
	caller.Write(exec[:len(exec)-1])
	caller.CloseWrite()
	if _, _, _, err := daemon.ReadFirst(); err == nil || err.Error() != "frame cut short" {
		t.Errorf("a job without its last byte: %v", err)
	}
	caller, daemon = pair(t)
	caller.Write(append(bytes.Clone(exec), wire.AppendExec(nil, make([]byte, wire.MaxFrame+1))[:wire.HeaderLen]...))
	if _, _, _, err := daemon.ReadFirst(); err != nil {
		t.Fatal(err)
	}
	daemon.Take()
	if _, _, err := daemon.ReadFrame(); err == nil || !strings.Contains(err.Error(), "at most 65536") {
		t.Errorf("a large frame that is not the first: %v", err)
	}
}

func TestCloseEndsAReadUnderWay(t *testing.T) {
	_, daemon := pair(t)
	done := make(chan error)
	go func() {
		_, _, err := daemon.ReadFrame()
		done <- err
	}()
	daemon.Close()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a frame from nobody")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it reads on")
	}
}

func TestTheCallerIsWhoTheKernelSays(t *testing.T) {
	_, daemon := pair(t)
	cred, err := daemon.Cred()
	if err != nil {
		t.Fatal(err)
	}
	groups, _ := os.Getgroups()
	want := fmt.Sprint(os.Getpid(), os.Getuid(), os.Getgid(), groups)
	if got := fmt.Sprint(cred.PID, cred.UID, cred.GID, cred.Groups); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestGroupsOfAnyNumberAreTold(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("setgroups needs root")
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	list := make([]string, 500)
	for i := range list {
		list[i] = fmt.Sprint(1000 + i)
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("setpriv", "--groups", strings.Join(list, ","), "--", os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "LOCAL_TEST_DIAL="+path)
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	defer cmd.Wait()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cred, err := conn.Cred()
	if err != nil || cred.PID != cmd.Process.Pid || len(cred.Groups) != len(list) || cred.Groups[499] != 1499 {
		t.Errorf("%d groups of process %d, %v", len(cred.Groups), cred.PID, err)
	}
}

// A test binary that is told to connects and stays until the other side hangs up.
func init() {
	if path := os.Getenv("LOCAL_TEST_DIAL"); path != "" {
		if c, err := net.Dial("unix", path); err == nil {
			io.Copy(io.Discard, c)
		}
		os.Exit(0)
	}
}

func TestThePidfdIsTheCallersThroughItsExecve(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "LOCAL_TEST_DIAL="+path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	cred, err := conn.Cred()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := conn.Pidfd(cred.PID)
	if err != nil {
		t.Skip(err) // before Linux 5.3
	}
	defer unix.Close(fd)
	ended := func(wait int) bool {
		n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, wait)
		return n > 0
	}
	if ended(0) {
		t.Error("it has ended before it did")
	}
	conn.Close()
	if !ended(10000) {
		t.Error("its end is not seen")
	}
	cmd.Wait()
}
