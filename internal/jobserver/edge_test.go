package jobserver

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is a home and a worker in one process, with the kernel's pipes and queues in place of streams.
type cluster struct {
	t     *testing.T
	home  *Home
	nests *Nests
	r, w  *os.File // the caller's pipe
	all   []byte
}

func newCluster(t *testing.T, tokens int) *cluster {
	t.Helper()
	c := &cluster{t: t, home: NewHome(), nests: NewNests(filepath.Join(t.TempDir(), "tokens"))}
	for i := range tokens {
		c.all = append(c.all, byte('a'+i))
	}
	c.r, c.w = pipe(t)
	if _, err := c.w.Write(c.all); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.home.Close()
		if err := c.nests.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(c.nests.dir); err == nil {
			t.Errorf("left behind: %v", left)
		}
	})
	return c
}

// pipe makes one as a make does: both ends are blocking.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(p[0]), "r"), os.NewFile(uintptr(p[1]), "w")
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// link is the stream of one job.
type link struct {
	c     *cluster
	nest  *Nest
	mu    sync.Mutex
	loan  *Loan
	ended bool
	heard int
}

// connect lets a nest borrow at home from when on it says so.
func (c *cluster) connect(n *Nest) *link {
	l := &link{c: c, nest: n}
	n.Serve(func(news News, back []byte) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.ended {
			return io.EOF
		}
		l.heard++
		if l.loan == nil {
			p, err := OpenPipe(int(c.r.Fd()), int(c.w.Fd()))
			if err != nil {
				c.t.Error(err)
				return err
			}
			l.loan = c.home.Borrow(p, func(o Offer) error { n.Offer(o); return nil })
		}
		l.loan.Heard(news, back)
		return nil
	})
	return l
}

// cut is the end of the stream at home, and then of the job.
func (l *link) cut() {
	l.mu.Lock()
	l.ended = true
	loan := l.loan
	l.mu.Unlock()
	if loan != nil {
		loan.Close()
	}
}

func (c *cluster) free() int {
	n, _ := unix.IoctlGetInt(int(c.r.Fd()), unix.TIOCINQ)
	return n
}

// whole waits until all tokens are in the caller's pipe, and they are the same.
func (c *cluster) whole() {
	c.t.Helper()
	eventually(c.t, "all tokens are home", func() bool { return c.free() == len(c.all) })
	got := make([]byte, len(c.all))
	if _, err := io.ReadFull(c.r, got); err != nil || !bytes.Equal(sorted(got), c.all) {
		c.t.Fatalf("%q came home of %q, %v", got, c.all, err)
	}
	c.w.Write(got)
}

func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !yes(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so after 20 s", what)
		}
	}
}

func TestTokensOfJobsThatAreKilledAtAnyMomentComeHome(t *testing.T) {
	c := newCluster(t, 7)
	for round := range 12 {
		var jobs sync.WaitGroup
		for j := range 4 {
			fifo := (round+j)%2 == 0
			jobs.Go(func() { c.randomJob(fifo, rand.New(rand.NewPCG(uint64(round), uint64(j)))) })
		}
		jobs.Wait()
		c.whole()
	}
}

// randomJob takes tokens and brings some back until it is killed.
func (c *cluster) randomJob(fifo bool, random *rand.Rand) {
	var n *Nest
	var r, w *os.File
	var err error
	if fifo {
		if n, err = c.nests.Fifo(uint32(os.Getuid()), uint32(os.Getgid())); err == nil {
			r, err = os.OpenFile(n.Path(), os.O_RDWR|unix.O_NONBLOCK, 0)
			w = r
		}
	} else {
		n, r, w, err = c.nests.Pipe()
		if err == nil {
			unix.SetNonblock(int(r.Fd()), true) // as make does
		}
	}
	if err != nil {
		c.t.Error(err)
		return
	}
	defer w.Close()
	defer r.Close()
	l := c.connect(n)
	var held []byte
	for end := time.Now().Add(time.Duration(random.IntN(60)) * time.Millisecond); time.Now().Before(end); {
		var b [1]byte
		if k, _ := unix.Read(int(r.Fd()), b[:]); k == 1 {
			held = append(held, b[0])
		}
		if len(held) > 0 && random.IntN(3) == 0 {
			unix.Write(int(w.Fd()), held[:1])
			held = held[1:]
		}
		unix.Poll([]unix.PollFd{{Fd: int32(r.Fd()), Events: unix.POLLIN}}, 1+random.IntN(3))
	}
	if random.IntN(2) == 0 { // it is killed, and the home hears of it; or the link breaks first
		n.Close()
		l.cut()
	} else {
		l.cut()
		n.Close()
	}
}

func TestAFifoThatNobodyOpensIsSilentAndServesTheNextJob(t *testing.T) {
	c := newCluster(t, 3)
	path := ""
	for range 10 {
		n, err := c.nests.Fifo(uint32(os.Getuid()), uint32(os.Getgid()))
		if err != nil {
			t.Fatal(err)
		}
		l := c.connect(n)
		if path == "" {
			path = n.Path()
		} else if n.Path() != path {
			t.Errorf("%s was made although %s was free", n.Path(), path)
		}
		n.Close()
		l.cut()
		if l.heard > 0 {
			t.Errorf("the home heard %d times of a fifo that nobody opened", l.heard)
		}
	}
}

func TestAFifoIsTheUsersAloneAndGoneAfterAJobThatOpenedIt(t *testing.T) {
	c := newCluster(t, 3)
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	if uid == 0 {
		uid, gid = 65534, 65534
	}
	n, err := c.nests.Fifo(uid, gid)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(n.Path(), &st); err != nil || st.Uid != uid || st.Gid != gid || st.Mode != unix.S_IFIFO|0o600 {
		t.Errorf("%+v, %v", st, err)
	}
	l := c.connect(n)
	f, err := os.OpenFile(n.Path(), os.O_RDONLY, 0) // waits for no other end
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := io.ReadFull(f, b[:]); err != nil || !bytes.Contains(c.all, b[:]) {
		t.Errorf("%q, %v", b, err)
	}
	f.Close()
	n.Close()
	l.cut()
	c.whole()
	if _, err := os.Lstat(n.Path()); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	other, err := c.nests.Fifo(uid+1, gid)
	if err == nil && other.Path() == n.Path() {
		t.Error("another user got it")
	}
	if err == nil {
		other.Close()
	}
}

func TestAnIdleJobLeavesTheLastTokenAtHomeAndTheCallersPipeStaysBlocking(t *testing.T) {
	c := newCluster(t, 1)
	n, r, w, err := c.nests.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	l := c.connect(n)
	eventually(t, "its last trial was long ago", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.heard >= 5 })
	eventually(t, "the token is home", func() bool { return c.free() == 1 })
	for _, f := range []*os.File{c.r, c.w, r, w} {
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("an open file of the caller or the job was made non-blocking")
		}
	}
	n.Close()
	l.cut()
	r.Close()
	w.Close()
	c.whole()
}

func TestTwoJobsOfOneJobserverShareOneLending(t *testing.T) {
	c := newCluster(t, 4)
	var links []*link
	for range 3 {
		n, r, w, err := c.nests.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		links = append(links, c.connect(n))
	}
	// Each has a standing offer in the end, and one stays at home.
	eventually(t, "one token is left", func() bool { return c.free() == 1 })
	c.home.mu.Lock()
	if n := len(c.home.lendings); n != 1 {
		t.Errorf("%d lendings", n)
	}
	c.home.mu.Unlock()
	b := make([]byte, 1)
	c.r.Read(b) // now the make at home may wait: all come back, one after the other if need be
	eventually(t, "what lay unread came home", func() bool { return c.free() == 3 })
	c.w.Write(b)
	for _, l := range links {
		l.nest.Close()
		l.cut()
	}
	c.whole()
	c.home.mu.Lock()
	if n := len(c.home.lendings); n != 0 {
		t.Errorf("%d lendings are left", n)
	}
	c.home.mu.Unlock()
}

func TestOnlyAFifoOfTheUsersOwnIsOpened(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	uid := uint32(os.Getuid())
	for name, mode := range map[string]uint32{"good": 0o600, "deaf": 0o200} {
		if err := unix.Mkfifo(path(name), mode); err != nil {
			t.Fatal(err)
		}
		os.Chmod(path(name), os.FileMode(mode))
	}
	if err := os.WriteFile(path("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := OpenFifo(os.Getpid(), path("good"), uid)
	if err != nil {
		t.Fatal(err)
	}
	p.Put([]byte("xyz"))
	if p.Free() != 3 || string(p.Take(2)) != "xy" || string(p.Take(5)) != "z" || len(p.Take(1)) != 0 {
		t.Error("not the bytes that were put in")
	}
	p.Close()
	for _, bad := range []string{path("deaf"), path("file"), path("none"), "/dev/zero", "good", "", dir} {
		if p, err := OpenFifo(os.Getpid(), bad, uid); err == nil {
			p.Close()
			t.Errorf("%q was opened", bad)
		}
	}
	if p, err := OpenFifo(os.Getpid(), path("good"), uid+1); err == nil {
		p.Close()
		t.Error("another user's was opened")
	}
}

func TestOnlyTheTwoEndsOfOnePipeAreOpenedAnew(t *testing.T) {
	r, w := pipe(t)
	r2, w2 := pipe(t)
	fd := func(f *os.File) int { return int(f.Fd()) }
	for _, bad := range [][2]int{{fd(r), fd(r)}, {fd(w), fd(w)}, {fd(w), fd(r)}, {fd(r), fd(w2)}, {fd(r2), fd(w)}, {-1, -1}} {
		if p, err := OpenPipe(bad[0], bad[1]); err == nil {
			p.Close()
			t.Errorf("%v was opened", bad)
		}
	}
	p, err := OpenPipe(fd(r), fd(w))
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
}

func TestADirectoryWhoseNameMakeWouldQuoteHoldsNoFifos(t *testing.T) {
	s := NewNests(filepath.Join(t.TempDir(), "a b"))
	if _, err := s.Fifo(0, 0); err == nil || !strings.Contains(err.Error(), "a b") {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestManyJobsAtOnceGetFifosOfTheirOwn(t *testing.T) {
	c := newCluster(t, 1)
	var all []*Nest
	seen := map[string]bool{}
	for range 100 {
		n, err := c.nests.Fifo(uint32(os.Getuid()), uint32(os.Getgid()))
		if err != nil {
			t.Fatal(err)
		}
		if seen[n.Path()] {
			t.Errorf("%s twice", n.Path())
		}
		seen[n.Path()] = true
		all = append(all, n)
	}
	for _, n := range slices.Backward(all) {
		n.Close()
	}
	if left, _ := os.ReadDir(c.nests.dir); len(left) != mostIdle {
		t.Error(fmt.Sprint(len(left), " are kept"))
	}
}
