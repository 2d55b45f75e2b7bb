package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"mexec"
	"mexec/internal/ident"
	"mexec/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mexecctl runs the command in a process of its own making.
func mexecctl(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), Env{
		Args: args,
		// The machine's own configuration is none of the tests' business.
		Getenv: func(k string) string {
			return map[string]string{"MEXECD_CONFIG": os.DevNull, "HOME": "/nonexistent", "MEXEC_SOCKET": "/nonexistent/socket"}[k]
		},
		Stdout:   &stdout,
		Stderr:   &stderr,
		Hostname: func() (string, error) { return "alpha.example.org", nil },
		Now:      time.Now,
	})
	return code, stdout.String(), stderr.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is now\n%s", path, got)
	}
}

var token = regexp.MustCompile(`--token (\S{76})\n`)

func TestInitTokenAndJoinMakeACluster(t *testing.T) {
	state := filepath.Join(t.TempDir(), "a")
	code, out, errs := mexecctl(t, "init", "--state", state, "--advertise", "10.0.0.1")
	if code != 0 || errs != "" {
		t.Fatalf("%d, %s", code, errs)
	}
	a, err := ident.Load(state)
	if err != nil {
		t.Fatal(err)
	}
	m := token.FindStringSubmatch(out)
	if m == nil || a.Name != "alpha" || a.Advertise != "10.0.0.1:7734" {
		t.Fatalf("made %+v, said\n%s", a, out)
	}
	golden(t, "init", strings.NewReplacer(a.Cluster, "CLUSTER", state, "/STATE", m[1], "TOKEN").Replace(out))

	code, again, errs := mexecctl(t, "token", "--state", state, "--ttl", "5m")
	if m := token.FindStringSubmatch(again); code != 0 || errs != "" || m == nil || !strings.HasPrefix(again, "mexecctl join 10.0.0.1:7733 --token ") {
		t.Errorf("token: %d, %s, %s", code, again, errs)
	}

	addr := serve(t, a)
	other := filepath.Join(t.TempDir(), "b")
	code, out, errs = mexecctl(t, "join", addr, "--token", m[1], "--name", "beta", "--state", other)
	if code != 0 || errs != "" {
		t.Fatalf("join: %d, %s", code, errs)
	}
	golden(t, "join", strings.NewReplacer(a.Cluster, "CLUSTER", other, "/STATE").Replace(out))
	b, err := ident.Load(other)
	if err != nil || b.Number != 2 || b.Name != "beta" || b.Advertise != "127.0.0.1:7734" {
		t.Errorf("joined as %+v, %v", b, err)
	}

	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"init", "--state", state, "--advertise", "10.0.0.1"}, "init " + state + ": already node 1, alpha, of cluster " + a.Cluster},
		{[]string{"join", addr, "--token", m[1], "--state", other}, "join " + addr + ": " + other + ": already node 2, beta, of cluster " + a.Cluster},
		{[]string{"token", "--state", other}, "token: this node does not hold the cluster's CA key: ask node alpha"},
		{[]string{"token", "--state", "/nonexistent/s"}, "token: /nonexistent/s holds no identity: mexecctl init makes a cluster"},
		{[]string{"join", addr, "--token", "x", "--state", "/nonexistent/s"}, "join " + addr + ": token: malformed: not the text that mexecctl printed"},
	} {
		if code, out, errs := mexecctl(t, c.args...); code != 1 || out != "" || errs != "mexecctl: "+c.want+"\n" {
			t.Errorf("%q: %d, %s, %s", c.args, code, out, errs)
		}
	}
}

// One that was started first stays alone, and "enable --now" is nothing to it: others were refused by a port where nobody listens.
func TestADaemonThatRunsAlreadyIsToBeStartedAnew(t *testing.T) {
	state := t.TempDir()
	socket, _ := answers(t, cluster)
	if err := os.Symlink(socket, filepath.Join(state, "mexecd.sock")); err != nil {
		t.Fatal(err)
	}
	code, out, errs := mexecctl(t, "init", "--state", state, "--advertise", "10.0.0.1")
	if want := "\nThe daemon here must be started anew to find this out:\n\n    mexecd --state " + state; code != 0 || errs != "" || !strings.Contains(out, want) {
		t.Errorf("%d, %s%s", code, out, errs)
	}
}

// serve opens the link port of a node, for joining.
func serve(t *testing.T, id *ident.Identity) string {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	door := id.Credentials(slog.New(slog.DiscardHandler), ident.Roll{})
	server := grpc.NewServer(grpc.Creds(door))
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(lis) }()
	t.Cleanup(func() { server.Stop(); door.Close(); <-done })
	return lis.Addr().String()
}

func TestACommandLineWithoutSenseIsOneLineAndStatus2(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"bogus"}, `no command "bogus": there are completion, drain, init, join, nodes, token, trace, undrain, why`},
		{[]string{"help", "bogus"}, `no command "bogus": there are completion, drain, init, join, nodes, token, trace, undrain, why`},
		{[]string{"--bogus"}, "unknown flag: --bogus"},
		{[]string{"nodes", "--bogus"}, "unknown flag: --bogus"},
		{[]string{"nodes", "x"}, `nodes: "x" is one argument too many`},
		{[]string{"join"}, "join: HOST:PORT is missing"},
		{[]string{"join", "h:1"}, "join: --token is missing: mexecctl token prints one on the cluster's first node"},
		{[]string{"join", "h", "--token", "x"}, `join: "h": not HOST:PORT`},
		{[]string{"join", "h:", "--token", "x"}, `join: "h:": not HOST:PORT`},
		{[]string{"join", ":1", "--token", "x"}, `join: ":1": not HOST:PORT`},
		{[]string{"token", "--ttl", "x"}, `invalid argument "x" for "--ttl" flag: time: invalid duration "x"`},
		{[]string{"drain", "--timeout", "1s"}, "drain: --timeout 1s: how long --wait waits at most"},
		{[]string{"drain", "--wait", "--timeout", "-1s"}, "drain: --timeout -1s: how long --wait waits at most"},
		{[]string{"completion"}, "completion: bash, zsh or fish is missing"},
		{[]string{"completion", "tcsh"}, `completion: "tcsh": not bash, zsh or fish`},
	} {
		if code, out, errs := mexecctl(t, c.args...); code != 2 || out != "" || errs != "mexecctl: "+c.want+"\n" {
			t.Errorf("%q: %d, %s, %s", c.args, code, out, errs)
		}
	}
}

func TestHelpAndCompletionArePrinted(t *testing.T) {
	code, out, errs := mexecctl(t)
	if code != 0 || errs != "" {
		t.Errorf("%d, %s", code, errs)
	}
	golden(t, "help", out)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, out, errs := mexecctl(t, "completion", shell); code != 0 || errs != "" || !strings.Contains(out, "mexecctl") {
			t.Errorf("%s: %d, %s", shell, code, errs)
		}
	}
}

// answers is a daemon that answers each query by the next of these, and the last again and again; bytes are whole frames. It tells what it was asked.
func answers(t *testing.T, replies ...any) (socket string, asked func() []string) {
	socket = filepath.Join(t.TempDir(), "s")
	lis, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var queries []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			head := make([]byte, wire.HeaderLen)
			io.ReadFull(conn, head)
			if h, err := wire.ParseHeader(head); err == nil && h.Type == wire.Query {
				body := make([]byte, h.Len)
				io.ReadFull(conn, body)
				mu.Lock()
				queries = append(queries, string(body))
				mu.Unlock()
			}
			switch r := replies[0].(type) {
			case []byte:
				conn.Write(r)
			case error:
				conn.Write(wire.AppendFailed(nil, 2, r.Error()))
			default:
				body, _ := json.Marshal(r)
				conn.Write(wire.AppendText(nil, wire.Reply, string(body)))
			}
			if len(replies) > 1 {
				replies = replies[1:]
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { lis.Close(); <-done })
	return socket, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(queries)
	}
}

var cluster = []mexec.Node{
	{Number: 3, Name: "gamma", Addr: "10.0.0.3:7733", State: mexec.Skewed, Slots: 8, Load: 0.25, Offset: -1500 * time.Millisecond, Version: "0.1.0", Why: "clock 1.5s behind"},
	{Number: 1, Name: "alpha", Addr: "10.0.0.1:7733", State: mexec.Self, Slots: 2, Busy: 1, Load: 1.5, Version: "0.1.0"},
	{Number: 4, Name: "delta", Addr: "10.0.0.4:7733", State: mexec.Down, Why: "no gossip for 12s"},
	{Number: 2, Name: "beta-with-a-long-name", Addr: "10.0.0.2:7733", State: mexec.Up, Slots: 64, Busy: 64, Load: 70.123, Offset: 430 * time.Microsecond, Version: "0.1.0"},
}

func TestNodesAreAskedOfTheDaemonAndListedByNumber(t *testing.T) {
	socket, asked := answers(t, cluster)
	code, out, errs := mexecctl(t, "nodes", "--socket", socket)
	if code != 0 || errs != "" || !slices.Equal(asked(), []string{"nodes"}) {
		t.Errorf("%d, %s", code, errs)
	}
	golden(t, "nodes", out)

	code, out, errs = mexecctl(t, "nodes", "--socket", socket, "--json")
	var nodes []mexec.Node
	if err := json.Unmarshal([]byte(out), &nodes); code != 0 || errs != "" || err != nil || len(nodes) != 4 || nodes[2].Why != "clock 1.5s behind" {
		t.Errorf("%d, %s, %v", code, errs, err)
	}
}

func TestAColumnIsThereWhereANodeHasIt(t *testing.T) {
	nodes := slices.Clone(cluster)
	nodes[0].Labels, nodes[0].Arch = "gpu,ssd", "aarch64"
	nodes[0].State, nodes[0].Why = mexec.Draining, "a new disk"
	nodes[0].Memory, nodes[0].Free = 8<<30, -1
	nodes[1].Arch, nodes[1].Memory, nodes[1].Free = "x86_64", 16<<30, 5<<30
	nodes[3].Arch, nodes[3].Speed = "x86_64", 0.5
	socket, _ := answers(t, nodes)
	code, out, errs := mexecctl(t, "nodes", "--socket", socket)
	if code != 0 || errs != "" {
		t.Errorf("%d, %s", code, errs)
	}
	golden(t, "nodes-wide", out)
}

func TestAListOfThousandsOfNodesFits(t *testing.T) {
	many := make([]mexec.Node, 5000)
	for i := range many {
		many[i] = cluster[0]
		many[i].Number = i + 1
	}
	socket, _ := answers(t, many)
	var nodes []mexec.Node
	if err := Query(t.Context(), socket, "nodes", &nodes); err != nil || len(nodes) != len(many) {
		t.Errorf("%d nodes, %v", len(nodes), err)
	}
}

func TestABadReplyIsOneLine(t *testing.T) {
	for reply, want := range map[string]string{
		"":         "the daemon hung up without a reply",
		"MX":       "the reply was cut short",
		"HTTP/1.1": "not a frame of the local protocol",
		string(wire.AppendText(nil, wire.Reply, "{}"))[:9]:                    "the reply was cut short",
		string(wire.AppendText(nil, wire.Reply, "hello")):                     "invalid character 'h' looking for beginning of value",
		string(wire.AppendText(nil, wire.Here, "x")):                          "refused: answered by HERE",
		string(wire.AppendText(nil, wire.Waiting, "")):                        "refused: the daemon is another user's, or of another version",
		string(wire.AppendFailed(nil, 125, "no such query")):                  `refused: "no such query"`,
		string(wire.AppendText(nil, wire.Reply, ""))[:4] + "\xff\xff\xff\xff": "REPLY frame: 4294967295 bytes, at most 8388608",
	} {
		socket, _ := answers(t, []byte(reply))
		code, out, errs := mexecctl(t, "nodes", "--socket", socket)
		if code != 1 || out != "" || errs != "mexecctl: query "+socket+": "+want+"\n" {
			t.Errorf("%q: %d, %s, %s", reply, code, out, errs)
		}
	}
	code, _, errs := mexecctl(t, "nodes")
	if code != 1 || errs != "mexecctl: query /nonexistent/socket: no mexecd serves it: start one, or name its socket in MEXEC_SOCKET\n" {
		t.Errorf("no daemon: %d, %s", code, errs)
	}
}

func TestASilentDaemonIsNotWaitedForLongerThanAsked(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	lis, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close() // connects, but nobody accepts
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Query(ctx, socket, "nodes", new(any)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestTheSocketIsTheNamedOneThenTheUsersThenTheMachines(t *testing.T) {
	dir := t.TempDir()
	env := map[string]string{"XDG_RUNTIME_DIR": dir}
	getenv := func(k string) string { return env[k] }
	if got := Socket(getenv); got != "/run/mexec/mexecd.sock" {
		t.Error(got)
	}
	own := filepath.Join(dir, "mexec/mexecd.sock")
	os.Mkdir(filepath.Dir(own), 0o700)
	os.WriteFile(own, nil, 0o600)
	if got := Socket(getenv); got != own {
		t.Error(got)
	}
	env["MEXEC_SOCKET"] = "/x"
	if got := Socket(getenv); got != "/x" {
		t.Error(got)
	}
}
