package ident

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mexec"
)

func TestATokenAdmitsSeveralMachines(t *testing.T) {
	a := open(t, found(t, "a", time.Now), Roll{Seeds: func() []string { return []string{"10.0.0.7:7734"} }})
	token := ticket(t, a.id)
	b, c := enter(t, a, token, "b"), enter(t, a, token, "c")
	for i, id := range []*Identity{b, c} {
		again, err := Load(id.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []*Identity{id, again} {
			if id.Number != i+2 || id.Cluster != a.id.Cluster || !bytes.Equal(id.GossipKey, a.id.GossipKey) || id.CA() ||
				id.Authority != "a" || id.Advertise != "127.0.0.1:7734" {
				t.Errorf("joined as %+v", id)
			}
			if !slices.Contains(id.Seeds, "10.0.0.1:7734") || !slices.Contains(id.Seeds, "10.0.0.7:7734") {
				t.Errorf("seeds %q", id.Seeds)
			}
		}
	}
	a.log.says(t, "admitted node 2, b, at 127.0.0.1:7734")
	// The CA's node finds the others after its own restart.
	again, err := Load(a.id.dir)
	if err != nil || !slices.Contains(again.Seeds, "127.0.0.1:7734") {
		t.Errorf("the CA's seeds: %q, %v", again.Seeds, err)
	}
}

func TestNoNumberIsGivenTwice(t *testing.T) {
	a := open(t, found(t, "a", time.Now), Roll{})
	token := ticket(t, a.id)
	var mu sync.Mutex
	seen := map[int]mexec.NodeID{1: "a"}
	var all sync.WaitGroup
	for i := range 12 {
		dir, name := t.TempDir(), mexec.NodeID(fmt.Sprintf("n%d", i))
		all.Go(func() {
			id, err := Join(t.Context(), dir, a.addr, token, name, "10.1.1.1:7734")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if other, twice := seen[id.Number]; twice {
				t.Errorf("%d is %s and %s", id.Number, name, other)
			}
			seen[id.Number] = name
		})
	}
	all.Wait()
	// Nor after a restart.
	again, err := Load(a.id.dir)
	if err != nil {
		t.Fatal(err)
	}
	if id := enter(t, open(t, again, Roll{}), token, "later"); id.Number != 14 {
		t.Errorf("number %d after 13", id.Number)
	}
}

func TestANameThatIsUpIsNeverGivenAway(t *testing.T) {
	up := true
	a := open(t, found(t, "a", time.Now), Roll{Up: func(n mexec.NodeID) bool { return n == "b" && up }})
	for _, name := range []mexec.NodeID{"a", "b"} {
		_, err := Join(t.Context(), t.TempDir(), a.addr, ticket(t, a.id), name, ":7734")
		want := fmt.Sprintf("refused: join: a node %s is up", name)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		a.log.says(t, want)
	}
	up = false
	if _, err := Join(t.Context(), t.TempDir(), a.addr, ticket(t, a.id), "b", ":7734"); err != nil {
		t.Error(err)
	}
}

func TestAMachineInstalledAnewIsTheSameNode(t *testing.T) {
	a := open(t, found(t, "a", time.Now), Roll{})
	old := enter(t, a, ticket(t, a.id), "b")
	enter(t, a, ticket(t, a.id), "c")
	if b := enter(t, a, ticket(t, a.id), "b"); b.Number != old.Number {
		t.Errorf("was node %d, is node %d", old.Number, b.Number)
	}
	a.log.says(t, "admitted node 2, b, at 127.0.0.1:7734 AGAIN: it was at 127.0.0.1:7734 with another key since ")
	// And what is left of the old one can't renew.
	err := old.RenewIfDue(t.Context(), time.Now().Add(80*24*time.Hour), a.dial)
	if err == nil || !strings.Contains(err.Error(), "the name b belongs to a machine that joined later") {
		t.Errorf("the old b renews: %v", err)
	}
	a.log.says(t, "refused: renew: the name b belongs")
}

func TestAMemberDoesNotJoinAgain(t *testing.T) {
	a := open(t, found(t, "a", time.Now), Roll{})
	b := enter(t, a, ticket(t, a.id), "b")
	_, err := Join(t.Context(), b.dir, a.addr, ticket(t, a.id), "b2", ":7734")
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "already node 2, b") {
		t.Error(err)
	}
}

func TestAnUnfinishedJoinIsNoObstacle(t *testing.T) {
	a := open(t, found(t, "a", time.Now), Roll{})
	b := enter(t, a, ticket(t, a.id), "b")
	if err := os.Remove(filepath.Join(b.dir, nodeFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(b.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half an identity: %v", err)
	}
	again, err := Join(t.Context(), b.dir, a.addr, ticket(t, a.id), "b", ":7734")
	if err != nil || again.Number != 2 {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestEveryRefusedJoinSaysWhyAtBothEnds(t *testing.T) {
	a := open(t, found(t, "a", time.Now), Roll{})
	other := found(t, "a", time.Now)
	b := open(t, enter(t, a, ticket(t, a.id), "b"), Roll{})
	expired, _ := a.id.Token(time.Second, time.Now().Add(-time.Hour))
	forged := mint(make([]byte, 32), a.id.Fingerprint(), time.Now().Add(time.Hour))
	gone, _ := net.Listen("tcp", "127.0.0.1:0")
	gone.Close()

	for _, c := range []struct {
		what, addr, token, name, client, server string
	}{
		{"expired", a.addr, expired, "x", "refused: token: expired at ", "refused: token: expired at "},
		{"wrong", a.addr, forged, "x", "refused: token: wrong", "refused: token: wrong"},
		{"other cluster", a.addr, ticket(t, other), "x", "it is not of the cluster that made the token, or the token is mistyped; nothing was sent", "refused: the other side did not accept our certificate: it is of another cluster"},
		{"not the CA", b.addr, ticket(t, a.id), "x", "ask node a at " + a.addr, "refused: join: this node does not hold the cluster's CA key"},
		{"malformed token", a.addr, "hello", "x", "token: malformed: ", ""},
		{"mistyped token", a.addr, "B" + ticket(t, a.id)[1:], "x", "token: version 5, not 1: mistyped, or of another mexec", ""},
		{"bad name", a.addr, ticket(t, a.id), "1-3", `node name "1-3": needs a letter`, ""},
		{"nobody there", gone.Addr().String(), ticket(t, a.id), "x", "connection refused: no mexecd listens there", ""},
	} {
		dir := filepath.Join(t.TempDir(), "state")
		_, err := Join(t.Context(), dir, c.addr, c.token, mexec.NodeID(c.name), ":7734")
		if err == nil || !strings.HasPrefix(err.Error(), "join "+c.addr+": ") || !strings.Contains(err.Error(), c.client) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: client: %v, want %q", c.what, err, c.client)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: left %s", c.what, dir)
		}
		log := a.log
		if c.addr == b.addr {
			log = b.log
		}
		log.says(t, c.server)
	}
}

// It was found out when the cluster had given it a name and a number.
func TestAMachineThatCannotKeepItsIdentityIsNotAdmitted(t *testing.T) {
	a := open(t, found(t, "a", time.Now), Roll{})
	if _, err := Join(t.Context(), "/proc/mexec", a.addr, ticket(t, a.id), "b", ":7734"); err == nil || !strings.Contains(err.Error(), "mkdir /proc/mexec: ") {
		t.Error(err)
	}
	if c := enter(t, a, ticket(t, a.id), "c"); c.Number != 2 {
		t.Errorf("the first to join is node %d", c.Number)
	}
}

// The resolver that did not answer was taken for the host.
func TestANameThatIsNotFoundIsSaidToBeThat(t *testing.T) {
	for _, timeout := range []bool{false, true} {
		lookup := &net.DNSError{Err: "no good", Name: "nowhere", IsTimeout: timeout}
		if err := dialCause(&net.OpError{Op: "dial", Net: "tcp", Err: lookup}); err.Error() != "lookup nowhere: no good" {
			t.Error(err)
		}
	}
}

// A man in the middle shows a certificate of his own; the token must not reach him.
func TestNothingIsSaidToAnotherCluster(t *testing.T) {
	thief := found(t, "a", time.Now)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	heard := make(chan []byte, 1)
	go func() {
		defer close(heard)
		raw, err := lis.Accept()
		if err != nil {
			return
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(5 * time.Second))
		config := thief.ServerTLS()
		conn := tls.Server(raw, config)
		b, _ := io.ReadAll(conn)
		heard <- b
	}()
	_, err = Join(t.Context(), t.TempDir(), lis.Addr().String(), ticket(t, found(t, "a", time.Now)), "b", ":7734")
	if err == nil || !strings.Contains(err.Error(), "nothing was sent") {
		t.Error(err)
	}
	if b := <-heard; len(b) != 0 {
		t.Errorf("the thief heard %q", b)
	}
}

// Nor to somebody who copied the CA's certificate, which is no secret, beside a leaf of his own.
func TestACopiedRootVouchesForNobody(t *testing.T) {
	a, thief := found(t, "a", time.Now), found(t, "a", time.Now)
	leaf := thief.leaf().Leaf
	if _, _, err := vouched([]*x509.Certificate{leaf, a.root}, a.Fingerprint(), time.Now()); err == nil {
		t.Error("a foreign leaf beside our root was believed")
	}
	if _, _, err := vouched([]*x509.Certificate{a.root}, a.Fingerprint(), time.Now()); err == nil {
		t.Error("the root itself was taken for a node")
	}
	if _, _, err := vouched([]*x509.Certificate{a.leaf().Leaf, a.root}, a.Fingerprint(), time.Now()); err != nil {
		t.Error(err)
	}
}

func TestAMalformedRequestIsAnsweredAndLogged(t *testing.T) {
	a := open(t, found(t, "a", time.Now), Roll{})
	for what, c := range map[string]struct{ bytes, want string }{
		"too long":   {"\xff\xff\xff\xff", "refused: join: malformed message: 4294967295 bytes long"},
		"not JSON":   {"\x02\x00\x00\x00hi", "refused: join: malformed message: invalid character"},
		"cut short":  {"\x02\x00\x00\x00h", "refused: join: malformed message: cut short"},
		"no token":   {"\x02\x00\x00\x00{}", "refused: join: neither token nor certificate"},
		"nothing":    {"", "refused: join: hung up"},
		"bad token":  {frame(request{Token: "x"}), "refused: token: malformed"},
		"bad gossip": {frame(request{Token: ticket(t, a.id), Name: "x", Gossip: "x"}), `refused: address "x": not host:port`},
		"bad CSR":    {frame(request{Token: ticket(t, a.id), Name: "x", Gossip: ":1"}), "refused: join: malformed certificate request"},
	} {
		conn, err := tls.Dial("tcp", a.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{joinProtocol}})
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, c.bytes)
		conn.CloseWrite()
		io.Copy(io.Discard, conn)
		conn.Close()
		t.Run(what, func(t *testing.T) { a.log.says(t, c.want) })
	}
}

func frame(v any) string {
	var b bytes.Buffer
	writeMessage(&b, v)
	return b.String()
}

// pair is a join connection in memory, for tests of time.
func pair(t *testing.T, id *Identity) (client, server *tls.Conn) {
	c, s := net.Pipe()
	client = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{joinProtocol}})
	server = tls.Server(s, id.ServerTLS())
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestASilentJoinEndsAfterTenSeconds(t *testing.T) {
	id := found(t, "a", time.Now)
	synctest.Test(t, func(t *testing.T) {
		id.clock = time.Now
		certTime := id.leaf().Leaf.NotBefore.Add(skew)
		id.clock = func() time.Time { return certTime } // the bubble's clock is in the year 2000
		client, server := pair(t, id)
		defer client.NetConn().Close()
		start := time.Now()
		err := id.ServeJoin(t.Context(), server, Roll{}, slog.New(slog.DiscardHandler))
		if err == nil || err.Error() != "join: silent for 10s" || time.Since(start) != joinTime {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestJoinGivesUpOnASilentServer(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if conn, err := lis.Accept(); err == nil {
			cancel()
			defer conn.Close()
			io.Copy(io.Discard, conn)
		}
	}()
	if _, err := Join(ctx, t.TempDir(), lis.Addr().String(), ticket(t, found(t, "a", time.Now)), "b", ":7734"); err == nil {
		t.Error("joined nobody")
	}
}

func TestMessagesSurviveTheTrip(t *testing.T) {
	var b bytes.Buffer
	in := request{Token: "t", Name: "n", Gossip: "g:1", CSR: []byte{0, 255}, Version: "v"}
	if err := writeMessage(&b, in); err != nil {
		t.Fatal(err)
	}
	var out request
	if err := readMessage(&b, &out); err != nil || fmt.Sprint(in) != fmt.Sprint(out) || b.Len() != 0 {
		t.Errorf("%v, %v, %d bytes left", out, err, b.Len())
	}
	if err := writeMessage(&b, request{CSR: make([]byte, maxMessage)}); err == nil {
		t.Error("a message that no reader takes was written")
	}
}

func FuzzRequest(f *testing.F) {
	dir := f.TempDir()
	id, err := Init(dir, "a", "10.0.0.1:7734")
	if err != nil {
		f.Fatal(err)
	}
	token, _ := id.Token(time.Hour, time.Now())
	f.Add([]byte(frame(request{Token: token, Name: "b", Gossip: "h:1", CSR: []byte("x")})))
	f.Add([]byte("\x02\x00\x00\x00{}"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var req request
		if readMessage(bytes.NewReader(data), &req) != nil {
			return
		}
		a, _, err := id.answer(req, tls.ConnectionState{}, Roll{})
		if err != nil && (strings.ContainsAny(err.Error(), "\n\r\x1b") || len(err.Error()) > 300) {
			t.Errorf("not one clear line: %q", err)
		}
		if err == nil && (req.Token != token || len(a.Cert) == 0) {
			t.Errorf("admitted by %q: %+v", req.Token, a)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	id, err := Init(f.TempDir(), "a", "10.0.0.1:7734")
	if err != nil {
		f.Fatal(err)
	}
	own := id.leaf().Leaf.Raw
	f.Add([]byte(frame(answer{Error: "no"})))
	f.Add([]byte(frame(answer{Cert: own, Number: 1})))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a answer
		if readMessage(bytes.NewReader(data), &a) != nil {
			return
		}
		if leaf, err := id.accept(a); err == nil && !bytes.Equal(leaf.Raw, own) {
			t.Errorf("took %x for a certificate of its own", a.Cert)
		}
	})
}
