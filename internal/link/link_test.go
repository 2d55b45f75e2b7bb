package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/credentials"

	"mexec"
	"mexec/internal/ident"
	"mexec/internal/place"
	"mexec/internal/wire/mexecpb"
)

// TestMain lets the test binary be the process that is stopped; see TestAStoppedProcessDoesNotCutAHealthyLink.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LINK_TEST_STOPPED"); dir != "" {
		toBeStopped(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// identities makes a cluster of two in dir, the second of which has joined over the first one's link port.
func identities(dir string) (worker, home *ident.Identity, err error) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if worker, err = ident.Init(a, "worker", "127.0.0.1:7734"); err != nil {
		return
	}
	token, err := worker.Token(time.Hour, time.Now())
	if err != nil {
		return
	}
	door := worker.Credentials(slog.New(slog.DiscardHandler), ident.Roll{})
	server := NewServer(ServerConfig{Creds: door, KeepAlive: time.Second, Now: time.Now})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return
	}
	served := make(chan error)
	go func() { served <- server.Serve(ln) }()
	home, err = ident.Join(context.Background(), b, ln.Addr().String(), token, "home", "127.0.0.1:7735")
	server.Close()
	door.Close()
	<-served
	return worker, home, err
}

var cluster struct {
	once         sync.Once
	worker, home *ident.Identity
	err          error
}

// wired is both sides of links in one process: the worker's events and the home's, as lines.
type wired struct {
	pool   *Pool
	addr   string // where the worker is reached
	worker *recorder
	home   *recorder
	close  func()
}

type recorder struct {
	mu     sync.Mutex
	lines  []string
	s      *Session
	offset time.Duration
	jobs   func(context.Context, mexecpb.Node_RunServer) error
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *recorder) has(line string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		if strings.HasPrefix(l, line) {
			return true
		}
	}
	return false
}

// The recorder as a worker.
type workerSide struct{ *recorder }

func (w workerSide) Arrived(s *Session) {
	w.mu.Lock()
	w.s = s
	w.mu.Unlock()
	w.note("arrived %s %v", s.Home, s.SameKernel)
}
func (w workerSide) Wanted(_ *Session, shares []place.Share) { w.note("wanted %+v", shares) }
func (w workerSide) Returned(_ *Session, ids []place.Grant)  { w.note("returned %v", ids) }
func (w workerSide) Departed(s *Session)                     { w.note("departed %s", s.Home) }
func (w workerSide) Load() *mexecpb.Load                     { return &mexecpb.Load{Slots: 7, Busy: 3} }
func (w workerSide) Run(ctx context.Context, _ *Session, start *mexecpb.Start, stream mexecpb.Node_RunServer) error {
	w.note("run %d", start.Job)
	return w.jobs(ctx, stream)
}

// The recorder as a home.
type homeSide struct{ *recorder }

func (h homeSide) LinkUp(node mexec.NodeID, offset time.Duration) {
	h.mu.Lock()
	h.offset = offset
	h.mu.Unlock()
	h.note("up %s", node)
}
func (h homeSide) Granted(_ mexec.NodeID, o place.Offer) {
	h.note("granted %v of %d for %v", o.Grants, o.Memory, o.Lease)
}
func (h homeSide) Recalled(_ mexec.NodeID, ids []place.Grant) { h.note("recalled %v", ids) }
func (h homeSide) Beat(_ mexec.NodeID, offset time.Duration, load *mexecpb.Load) {
	h.mu.Lock()
	h.offset = offset
	h.mu.Unlock()
	h.note("beat %d/%d", load.GetBusy(), load.GetSlots())
}
func (h homeSide) LinkDown(node mexec.NodeID, cause error) { h.note("down %s: %v", node, cause) }

// wire connects two sides over loopback; the worker's clock is ahead of the home's.
func wire(worker, home *ident.Identity, keepAlive, ahead time.Duration) (*wired, error) {
	w := &wired{worker: &recorder{}, home: &recorder{}}
	w.worker.jobs = func(ctx context.Context, stream mexecpb.Node_RunServer) error {
		<-ctx.Done()
		w.worker.note("killed")
		return ctx.Err()
	}
	door := worker.Credentials(slog.New(slog.DiscardHandler), ident.Roll{})
	server := NewServer(ServerConfig{
		Self: Self{Name: "worker", Boot: "one"}, Creds: door, KeepAlive: keepAlive,
		Now:    func() time.Time { return time.Now().Add(ahead) },
		Worker: workerSide{w.worker}, Log: slog.New(slog.DiscardHandler),
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	served := make(chan error)
	go func() { served <- server.Serve(ln) }()
	w.addr = ln.Addr().String()
	w.pool = NewPool(PoolConfig{
		Self: Self{Name: "home", Boot: "one"}, KeepAlive: keepAlive, Now: time.Now, Home: homeSide{w.home},
		Creds: func(n mexec.NodeID) Credentials { return credentials.NewTLS(home.ClientTLS(n)) },
	})
	w.close = func() {
		w.pool.Close()
		server.Close()
		door.Close()
		<-served
	}
	return w, nil
}

func connect(t *testing.T, keepAlive, ahead time.Duration) *wired {
	t.Helper()
	cluster.once.Do(func() {
		dir, err := os.MkdirTemp("", "link")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		cluster.worker, cluster.home, cluster.err = identities(dir)
	})
	if cluster.err != nil {
		t.Fatal(cluster.err)
	}
	w, err := wire(cluster.worker, cluster.home, keepAlive, ahead)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

func until(t *testing.T, r *recorder, line string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !r.has(line); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in %q", line, r.lines)
		}
	}
}

func TestWantsGrantsRecallsAndReturnsArriveInBothDirections(t *testing.T) {
	w := connect(t, 5*time.Second, 0)
	w.pool.Want("worker", w.addr, nil)
	if len(w.pool.links) != 0 {
		t.Error("a link was made for nothing")
	}
	w.pool.Want("worker", w.addr, []place.Share{{UID: 1, Build: "b", Slots: 3, Memory: 3}}) // makes the link; what is wanted is to be said again then
	until(t, w.home, "up worker")
	until(t, w.worker, "arrived home true")
	w.pool.Want("worker", w.addr, []place.Share{{UID: 1, Build: "b", Slots: 2, Memory: 3}})
	until(t, w.worker, "wanted [{UID:1 Build:b Slots:2 Memory:3}]")
	w.worker.s.Grant(place.Offer{Grants: []place.Grant{7, 8}, Memory: 5, Lease: place.Lease})
	w.worker.s.Grant(place.Offer{Grants: []place.Grant{9}})
	until(t, w.home, "granted [7 8] of 5 for 1s")
	until(t, w.home, "granted [9] of 0 for 0s")
	w.worker.s.Recall([]place.Grant{8})
	until(t, w.home, "recalled [8]")
	w.pool.Return("worker", []place.Grant{8})
	until(t, w.worker, "returned [8]")
	until(t, w.home, "beat 3/7")
}

func TestTheClockOfTheOtherSideIsMeasured(t *testing.T) {
	for _, ahead := range []time.Duration{0, 2 * time.Second, -90 * time.Second} {
		w := connect(t, 500*time.Millisecond, ahead)
		w.pool.Want("worker", w.addr, []place.Share{{UID: 1, Build: "b", Slots: 1, Memory: 3}})
		until(t, w.home, "up worker")
		until(t, w.home, "beat")
		w.home.mu.Lock()
		got := w.home.offset
		w.home.mu.Unlock()
		if d := (got - ahead).Abs(); d > 100*time.Millisecond {
			t.Errorf("%v, in truth %v", got, ahead)
		}
	}
}

// However the ways there and back differ, the error is at most half of what the best round trip took.
func TestAClockSampleIsWrongByAtMostHalfItsTrip(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	now := start // of the home
	const ahead = 1500 * time.Millisecond
	home := &clock{now: func() time.Time { return now }}
	worker := &clock{now: func() time.Time { return now.Add(ahead) }}
	best := time.Hour
	for i, trip := range []struct{ there, back time.Duration }{
		{40 * time.Millisecond, 2 * time.Millisecond}, {time.Millisecond, 300 * time.Millisecond}, {0, 0},
		{5 * time.Second, 0}, {time.Millisecond, time.Millisecond},
	} {
		if _, ok := home.offset(); ok != (i > 0) {
			t.Errorf("round %d: measured: %v", i, ok)
		}
		there := home.beat()
		now = now.Add(trip.there)
		worker.hear(there)
		now = now.Add(700 * time.Millisecond) // until its next beat
		back := worker.beat()
		now = now.Add(trip.back)
		home.hear(back)
		best = min(best, trip.there+trip.back)
		got, _ := home.offset()
		if off := (got - ahead).Abs(); off > best/2 {
			t.Errorf("round %d: wrong by %v, the best trip took %v", i, off, best)
		}
	}
}

func TestSilenceEndsALinkOnBothSidesAndEveryJobOnIt(t *testing.T) {
	const keepAlive = time.Second
	w := connect(t, keepAlive, 0)
	v := newValve(t, w.addr)
	w.pool.Want("worker", v.ln.Addr().String(), []place.Share{{UID: 1, Build: "b", Slots: 1, Memory: 3}})
	until(t, w.home, "up worker")
	l, stream, err := w.pool.Run(t.Context(), "worker")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Done(time.Now())
	if err := stream.Send(&mexecpb.Up{Start: &mexecpb.Start{Job: 5}}); err != nil {
		t.Fatal(err)
	}
	until(t, w.worker, "run 5")
	lost := make(chan error, 1)
	go func() {
		_, err := stream.Recv()
		lost <- l.Cause(err)
	}()
	v.mu.Lock()
	v.cut = true
	v.mu.Unlock()
	begin := time.Now()
	for _, side := range []struct {
		r    *recorder
		line string
	}{{w.worker, "departed home"}, {w.worker, "killed"}, {w.home, "down worker: nothing heard for the keep-alive time"}} {
		until(t, side.r, side.line)
		if took := time.Since(begin); took > keepAlive+time.Second {
			t.Errorf("%q after %v", side.line, took)
		}
	}
	if err := <-lost; err == nil || err.Error() != errSilent.Error() {
		t.Errorf("the job was lost for %v", err)
	}
	if _, _, err := w.pool.Run(t.Context(), "worker"); !errors.Is(err, ErrNoLink) {
		t.Errorf("a job without a link: %v", err)
	}
}

func TestAQuietNetworkKeepsALinkUp(t *testing.T) {
	const short, long = 300 * time.Millisecond, 3 * time.Second
	for _, life := range []struct{ worker, home time.Duration }{{short, short}, {short, long}, {long, short}} {
		w := connect(t, life.worker, 0)
		w.pool.cfg.KeepAlive = life.home
		w.pool.Want("worker", w.addr, []place.Share{{UID: 1, Build: "b", Slots: 1, Memory: 3}})
		for range 10 { // more beats than fit into two lives
			until(t, w.home, "beat")
			w.home.mu.Lock()
			w.home.lines = slices.DeleteFunc(w.home.lines, func(l string) bool { return strings.HasPrefix(l, "beat") })
			w.home.mu.Unlock()
		}
		if w.worker.has("departed") || w.home.has("down") {
			t.Error(life, w.worker.lines, w.home.lines)
		}
	}
}

// toBeStopped is both sides of a link in a process of its own, which says what becomes of it.
func toBeStopped(dir string) {
	worker, home, err := identities(dir)
	var w *wired
	if err == nil {
		w, err = wire(worker, home, 500*time.Millisecond, 0)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	w.pool.Want("worker", w.addr, []place.Share{{UID: 1, Build: "b", Slots: 1, Memory: 3}})
	for !w.home.has("beat") {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("up")
	bufio.NewReader(os.Stdin).ReadString('\n')
	w.home.mu.Lock()
	w.home.lines = nil
	w.home.mu.Unlock()
	for !w.home.has("beat") && !w.home.has("down") {
		time.Sleep(time.Millisecond)
	}
	fmt.Println(w.home.has("down") || w.worker.has("departed"))
}

// A machine that slept, or a process that was stopped, finds hours of silence by its clock where there was none.
func TestAStoppedProcessDoesNotCutAHealthyLink(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LINK_TEST_STOPPED="+t.TempDir())
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	r := bufio.NewReader(stdout)
	if l, _ := r.ReadString('\n'); l != "up\n" {
		t.Fatalf("%q", l)
	}
	cmd.Process.Signal(syscall.SIGSTOP)
	asleep := time.Now().Add(4 * 500 * time.Millisecond)
	for time.Now().Before(asleep) {
		time.Sleep(time.Until(asleep))
	}
	cmd.Process.Signal(syscall.SIGCONT)
	io.WriteString(stdin, "\n")
	if l, _ := r.ReadString('\n'); l != "false\n" {
		t.Errorf("the link was cut: %q", l)
	}
}

func TestANodeThatDoesNotAnswerIsGivenUpSoon(t *testing.T) {
	w := connect(t, 5*time.Second, 0)
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and no more
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	begin := time.Now()
	w.pool.Want("mute", mute.Addr().String(), []place.Share{{UID: 1, Build: "b", Slots: 1, Memory: 3}})
	until(t, w.home, "down mute: no answer")
	if took := time.Since(begin); took > 2*dialTime+time.Second {
		t.Errorf("after %v", took)
	}
	nobody, _ := net.Listen("tcp", "127.0.0.1:0")
	addr := nobody.Addr().String()
	nobody.Close()
	w.pool.Want("nobody", addr, []place.Share{{UID: 1, Build: "b", Slots: 1, Memory: 3}})
	until(t, w.home, "down nobody: dial tcp "+addr+": connect: connection refused")
	// A member under another name than we looked for.
	w.pool.Want("third", w.addr, []place.Share{{UID: 1, Build: "b", Slots: 1, Memory: 3}})
	until(t, w.home, "down third: ")
}

// A home that comes anew has forgotten its former life.
func TestANewerLinkOfAHomeEndsTheOlderAndItsJobs(t *testing.T) {
	w := connect(t, 5*time.Second, 0)
	w.pool.Want("worker", w.addr, []place.Share{{UID: 1, Build: "b", Slots: 1, Memory: 3}})
	until(t, w.home, "up worker")
	_, stream, err := w.pool.Run(t.Context(), "worker")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&mexecpb.Up{Start: &mexecpb.Start{Job: 1}}); err != nil {
		t.Fatal(err)
	}
	until(t, w.worker, "run 1")
	newer := NewPool(w.pool.cfg)
	newer.cfg.Home = homeSide{&recorder{}}
	defer newer.Close()
	newer.Want("worker", w.addr, []place.Share{{UID: 1, Build: "b", Slots: 1, Memory: 3}})
	until(t, w.worker, "killed")
	until(t, w.home, "down worker: a newer link of the same node")
	if _, err := stream.Recv(); err == nil {
		t.Error("a killed job goes on")
	}
}
