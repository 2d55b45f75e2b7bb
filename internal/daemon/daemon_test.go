package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mexec"
	"mexec/internal/ctl"
	"mexec/internal/ident"
	"mexec/internal/ledger"
	"mexec/internal/local"
	"mexec/internal/logtest"
)

// memberlist's Shutdown does not wait for a probe under way, which ends by itself within a second.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}

// built finds a program that `make` built.
func built(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("MEXEC_TEST_BIN")
	if dir == "" {
		dir = "../../bin"
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Skipf("make has not built it: %v", err)
	}
	return path
}

// member is a daemon of this process.
type member struct {
	*Daemon
	t    *testing.T
	log  *logtest.Log
	once sync.Once
	err  error
}

// Close closes the daemon, once.
func (m *member) Close() error {
	m.once.Do(func() { m.err = m.Daemon.Close() })
	return m.err
}

// openOne starts a daemon on loopback; change says what is special about it.
func openOne(t *testing.T, id *ident.Identity, change func(*Config)) *member {
	t.Helper()
	m := &member{t: t, log: new(logtest.Log)}
	cfg := Config{
		Socket: filepath.Join(t.TempDir(), "s"), Identity: id, Slots: 2,
		Listen: "127.0.0.1:0", Gossip: "127.0.0.1:0", Advertise: "127.0.0.1",
		KeepAlive: 5 * time.Second, MaxSkew: time.Second, RootJobs: true,
		Stage: built(t, "mexec-stage"), Log: slog.New(slog.NewTextHandler(m.log, nil)),
	}
	if id != nil {
		cfg.Cgroup = fmt.Sprintf("mexec-test.%d/%s", os.Getpid(), id.Name)
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if m.Daemon, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", m.self, m.log)
		}
	})
	return m
}

// two starts two daemons of one cluster that know each other.
func two(t *testing.T, change func(second *Config)) (first, second *member) {
	t.Helper()
	id, err := ident.Init(filepath.Join(t.TempDir(), "first"), "first", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	first = openOne(t, id, nil)
	token, err := id.Token(time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	joined, err := ident.Join(t.Context(), filepath.Join(t.TempDir(), "second"), first.peers.self.Addr, token, "second", "127.0.0.1:2")
	if err != nil {
		t.Fatal(err)
	}
	second = openOne(t, joined, func(c *Config) {
		c.Join = []string{first.cluster.Addr()}
		if change != nil {
			change(c)
		}
	})
	for _, m := range []*member{first, second} {
		m.until("it sees two nodes", func() bool { return len(m.nodes()) == 2 })
	}
	return first, second
}

func (m *member) until(what string, yes func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !yes(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: %s: not so after 20 s", m.self, what)
		}
	}
}

func (m *member) nodes() (nodes []mexec.Node) {
	m.t.Helper()
	if err := ctl.Query(m.t.Context(), m.cfg.Socket, "nodes", &nodes); err != nil {
		m.t.Fatal(err)
	}
	return nodes
}

// mexec runs a command by way of the daemon.
func (m *member) mexec(args ...string) (out, errs string, code int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, built(m.t, "mexec"), args...)
	cmd.Env = append(os.Environ(), "MEXEC_SOCKET="+m.cfg.Socket)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	b, _ := cmd.Output()
	return string(b), stderr.String(), cmd.ProcessState.ExitCode()
}

func TestACommandRunsOnEachOfTwoNodesFromEachOfThem(t *testing.T) {
	first, second := two(t, nil)
	for _, m := range []*member{first, second} {
		for _, node := range []mexec.NodeID{"first", "second"} {
			out, errs, code := m.mexec("-v", "-n", string(node), "sh", "-c", "echo out; echo err >&2; exit 3")
			where := "mexec: " + string(node) + ": "
			if node == m.self {
				where = "mexec: here: "
			}
			if out != "out\n" || code != 3 || !strings.HasPrefix(errs, where) || !strings.HasSuffix(errs, "\nerr\n") {
				t.Errorf("from %s on %s: %q, %q, %d", m.self, node, out, errs, code)
			}
		}
	}
}

func TestANodeWhoseClockIsOffGetsNoJobAndTheListSaysWhy(t *testing.T) {
	for _, off := range []time.Duration{2 * time.Second, -2 * time.Second} {
		first, _ := two(t, func(c *Config) { c.Now = func() time.Time { return time.Now().Add(off) } })
		// The clock is measured on the link that the first job asks for.
		out, errs, code := first.mexec("-v", "-n", "2", "echo", "ran")
		if out != "ran\n" || code != 0 || !strings.HasPrefix(errs, "mexec: here: ") {
			t.Errorf("clock %v: %q, %q, %d", off, out, errs, code)
		}
		var n mexec.Node
		first.until("the other's clock is measured", func() bool {
			n = first.nodes()[1]
			return n.State == mexec.Skewed
		})
		if d := (n.Offset - off).Abs(); d > 200*time.Millisecond || !strings.HasPrefix(n.Why, "its clock is ") || !strings.HasSuffix(n.Why, " off, at most 1s") {
			t.Errorf("clock %v: %v, %q", off, n.Offset, n.Why)
		}
		// A job for any node stays too, and is booked with its reason.
		if _, errs, _ := first.mexec("-v", "true"); !strings.HasPrefix(errs, "mexec: here: ") {
			t.Errorf("clock %v: %q", off, errs)
		}
		if n := strings.Count(first.log.String(), "node second: its clock is"); n != 1 {
			t.Errorf("%d lines about it in the log", n)
		}
	}
}

func TestAClockThatIsALittleOffIsNoReason(t *testing.T) {
	const off = 400 * time.Millisecond
	first, _ := two(t, func(c *Config) { c.Now = func() time.Time { return time.Now().Add(off) } })
	if _, errs, _ := first.mexec("-v", "-n", "2", "true"); !strings.HasPrefix(errs, "mexec: second: ") {
		t.Error(errs)
	}
	if n := first.nodes()[1]; n.State != mexec.Up || (n.Offset-off).Abs() > 100*time.Millisecond {
		t.Errorf("%+v", n)
	}
}

func TestADaemonAloneRunsAllHereWithinItsSlots(t *testing.T) {
	m := openOne(t, nil, func(c *Config) { c.Stage = "" })
	dir := t.TempDir()
	// Each counts those that run while it does.
	const count = `: >$0/$$; set -- "$0"/*; echo $# >&2; sleep 0.1; rm "$0/$$"`
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, errs, code := m.mexec("-n", "1-5", "sh", "-c", count, dir)
			if code != 0 || errs != "1\n" && errs != "2\n" {
				t.Errorf("%q at once, of 2; status %d", errs, code)
			}
		})
	}
	wg.Wait()
	var jobs []ledger.Job
	m.until("all are booked", func() bool {
		jobs = nil
		ctl.Query(t.Context(), m.cfg.Socket, "jobs", &jobs)
		return len(jobs) == 8
	})
	for _, j := range jobs {
		if !strings.HasPrefix(j.Why, "this node is in no cluster") {
			t.Error(j.Why)
		}
	}
	if nodes := m.nodes(); len(nodes) != 1 || nodes[0].State != mexec.Self || nodes[0].Slots != 2 {
		t.Errorf("%+v", nodes)
	}
}

func TestASecondDaemonOnOneSocketSaysSoAndLeavesTheFirstAlone(t *testing.T) {
	first := openOne(t, nil, nil)
	if d, err := Open(Config{Socket: first.cfg.Socket, Slots: 1}); err == nil || !strings.HasSuffix(err.Error(), "another mexecd serves it") {
		t.Error(d, err)
	}
	if len(first.nodes()) != 1 {
		t.Error("the first one serves no longer")
	}
}

func TestCloseEndsTheJobsOfOthersAndReturns(t *testing.T) {
	first, second := two(t, nil)
	pid := filepath.Join(t.TempDir(), "pid")
	type end struct {
		errs string
		code int
	}
	done := make(chan end)
	go func() {
		_, errs, code := first.mexec("-n", "2", "sh", "-c", `sleep 600 & echo $! >"$0.new"; mv "$0.new" "$0"; wait`, pid)
		done <- end{errs, code}
	}()
	var number string
	first.until("the job runs", func() bool {
		b, err := os.ReadFile(pid)
		number = strings.TrimSpace(string(b))
		return err == nil
	})
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("/proc/" + number + "/cwd"); err == nil {
		t.Error("a process of the job is left")
	}
	if e := <-done; e.code != mexec.LostStatus || !strings.HasPrefix(e.errs, "mexec: ") || !strings.Contains(e.errs, "lost on second: ") || strings.Count(e.errs, "\n") != 1 {
		t.Errorf("%+v", e)
	}
}

func TestEveryQueryIsAnsweredWithJSONOrALineThatSaysWhichThereAre(t *testing.T) {
	m := openOne(t, nil, nil)
	for _, q := range []string{"nodes", "jobs", "build none", "guests", "ended 0"} {
		var answer json.RawMessage
		if err := ctl.Query(t.Context(), m.cfg.Socket, q, &answer); err != nil {
			t.Error(q, err)
		}
	}
	err := ctl.Query(t.Context(), m.cfg.Socket, "weather", new(any))
	if err == nil || !strings.Contains(err.Error(), "unknown; known are nodes, build ID, jobs, ended N, why [WHICH], guests, drain [WHY], undrain, watch BUILD [NODES]") {
		t.Error(err)
	}
}

// Whoever asks why reads the line of a command that is about to end. Only the race detector sees what was wrong.
func TestWhyMayBeAskedAtTheEndOfACommand(t *testing.T) {
	_, second := two(t, nil)
	over, asked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(asked)
		for {
			select {
			case <-over:
				return
			default:
				second.answer(local.Cred{}, "why")
			}
		}
	}()
	for range 5 {
		second.mexec("-n", "1", "true")
		second.mexec("-n", "2", "true")
	}
	close(over)
	<-asked
}
