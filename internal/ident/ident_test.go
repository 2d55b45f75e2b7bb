package ident

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"mexec"
	"mexec/internal/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logbook is a log of sentences: without what its handler puts in front of their quotes.
type logbook struct{ logtest.Log }

func (l *logbook) String() string { return strings.ReplaceAll(l.Log.String(), `\"`, `"`) }

// says waits for a line: the client may know of its refusal before the server has written it down.
func (l *logbook) says(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(l.String(), want) {
			return
		}
	}
	t.Errorf("the log does not say %q:\n%s", want, l)
}

// host is a node's link port: a real listener, a real grpc server, the door between them.
type host struct {
	id   *Identity
	door *Door
	addr string
	log  *logbook
}

func open(t *testing.T, id *Identity, roll Roll) host {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := host{id: id, addr: lis.Addr().String(), log: new(logbook)}
	door := id.Credentials(slog.New(slog.NewTextHandler(h.log, nil)), roll)
	h.door = door
	server := grpc.NewServer(grpc.Creds(door), grpc.UnknownServiceHandler(whoami))
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		door.Close()
		<-done
	})
	return h
}

func found(t *testing.T, name mexec.NodeID, clock func() time.Time) *Identity {
	t.Helper()
	id, err := initAt(filepath.Join(t.TempDir(), "state"), name, "10.0.0.1:7734", clock)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func ticket(t *testing.T, id *Identity) string {
	t.Helper()
	text, err := id.Token(time.Hour, id.clock())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func enter(t *testing.T, h host, token string, name mexec.NodeID) *Identity {
	t.Helper()
	id, err := Join(t.Context(), filepath.Join(t.TempDir(), "state"), h.addr, token, name, ":7734")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestLoadGivesWhatInitMade(t *testing.T) {
	a := found(t, "a", time.Now)
	b, err := Load(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	if a.Cluster != b.Cluster || b.Name != "a" || b.Number != 1 || !b.CA() || !bytes.Equal(a.GossipKey, b.GossipKey) ||
		len(b.GossipKey) != 32 || b.Authority != "a" || b.Advertise != "10.0.0.1:7734" || a.Fingerprint() != b.Fingerprint() {
		t.Errorf("made %+v, loaded %+v", a, b)
	}
	if len(b.Seeds) != 0 {
		t.Errorf("alone, but with seeds %q", b.Seeds)
	}
}

func TestInitNeverOverwritesAnIdentity(t *testing.T) {
	a := found(t, "a", time.Now)
	_, err := Init(a.dir, "b", "10.0.0.1:7734")
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "already node 1, a, of cluster "+a.Cluster) {
		t.Errorf("second init: %v", err)
	}
	// Nor half of one: the CA's key may be all that is left of a cluster.
	if err := os.Remove(filepath.Join(a.dir, nodeFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(a.dir, "b", "10.0.0.1:7734"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("init over a CA key: %v", err)
	}
}

func TestOneOfManyConcurrentInitsWins(t *testing.T) {
	dir := t.TempDir()
	var won sync.Map
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if id, err := Init(dir, mexec.NodeID(fmt.Sprintf("n%d", i)), "10.0.0.1:7734"); err == nil {
				won.Store(id.Cluster, true)
			}
		})
	}
	all.Wait()
	id, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	won.Range(func(cluster, _ any) bool {
		n++
		if cluster != id.Cluster {
			t.Errorf("%v thinks that it won, but %s is there", cluster, id.Cluster)
		}
		return true
	})
	if n != 1 {
		t.Errorf("%d winners", n)
	}
}

func TestOnlyTheOwnerReadsTheFiles(t *testing.T) {
	a := found(t, "a", time.Now)
	if info, _ := os.Stat(a.dir); info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v", a.dir, info.Mode())
	}
	entries, _ := os.ReadDir(a.dir)
	if len(entries) != 6 {
		t.Errorf("files: %v", entries)
	}
	for _, e := range entries {
		if info, _ := e.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", e.Name(), info.Mode())
		}
	}
	if err := os.Chmod(filepath.Join(a.dir, nodeKeyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(a.dir); err == nil || !strings.Contains(err.Error(), "others can get at") {
		t.Errorf("a key that all can read: %v", err)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	if _, err := Load(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty directory: %v", err)
	}
	for file, want := range map[string]string{
		nodeFile:     "node.json",
		nodeCertFile: "no certificate in it",
		nodeKeyFile:  "no private key in it",
		rootCertFile: "no certificate in it",
		caKeyFile:    "no private key in it",
		caFile:       "ca.json",
	} {
		a := found(t, "a", time.Now)
		if err := os.WriteFile(filepath.Join(a.dir, file), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(a.dir); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s garbled: %v", file, err)
		}
	}
}

func TestNamesCanBeWrittenInNODES(t *testing.T) {
	for _, good := range []mexec.NodeID{"a", "node1", "3com", "x-1", "rack2.lab_4", "Host"} {
		if err := CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []mexec.NodeID{"", "1", "1-3", "a,b", "n[1]", "label:x", "a/b", "-a", ".a", "ä", "a b", "a\n", mexec.NodeID(strings.Repeat("a", 64))} {
		if CheckName(bad) == nil {
			t.Errorf("%q is no name", bad)
		}
	}
}

func TestSeedsAreRemembered(t *testing.T) {
	a := found(t, "a", time.Now)
	if err := a.Remember([]string{"10.0.0.9:7734"}); err != nil {
		t.Fatal(err)
	}
	b, err := Load(a.dir)
	if err != nil || len(b.Seeds) != 1 || b.Seeds[0] != "10.0.0.9:7734" {
		t.Errorf("%q, %v", b.Seeds, err)
	}
}
