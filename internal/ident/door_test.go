package ident

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/emptypb"

	"mexec"
)

func (h host) dial(ctx context.Context, _ mexec.NodeID) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", h.addr)
}

// whoami tells the caller who it is to the server.
func whoami(_ any, stream grpc.ServerStream) error {
	p, _ := peer.FromContext(stream.Context())
	name, err := PeerID(p.AuthInfo.(credentials.TLSInfo).State)
	if err != nil {
		return err
	}
	stream.SetHeader(metadata.Pairs("you", string(name)))
	return stream.SendMsg(&emptypb.Empty{})
}

// call is one RPC from id to what should be peer at h.
func call(t *testing.T, id *Identity, h host, peer mexec.NodeID) (you string, err error) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+h.addr, grpc.WithTransportCredentials(credentials.NewTLS(id.ClientTLS(peer))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var head metadata.MD
	err = conn.Invoke(ctx, "/x/Y", &emptypb.Empty{}, &emptypb.Empty{}, grpc.Header(&head))
	return strings.Join(head.Get("you"), " "), err
}

// Two clusters that meet: the caller looks first, so it is the one that turns away, and both say so.
func TestANodeOfAnotherClusterIsRefusedAtBothEnds(t *testing.T) {
	a := open(t, found(t, "a", time.Now), Roll{})
	if _, err := call(t, found(t, "b", time.Now), a, "a"); err == nil || !strings.Contains(err.Error(), "certificate of another cluster") {
		t.Error(err)
	}
	a.log.says(t, "refused: the other side did not accept our certificate: it is of another cluster")
}

func TestMembersKnowEachOtherByName(t *testing.T) {
	a := open(t, found(t, "a", time.Now), Roll{})
	b := open(t, enter(t, a, ticket(t, a.id), "b"), Roll{})
	if you, err := call(t, b.id, a, "a"); err != nil || you != "b" {
		t.Errorf("b calls a: %q, %v", you, err)
	}
	if you, err := call(t, a.id, b, "b"); err != nil || you != "a" {
		t.Errorf("a calls b: %q, %v", you, err)
	}
	// b sits at the address where a thinks that c is.
	if _, err := call(t, a.id, b, "c"); err == nil || !strings.Contains(err.Error(), "of node b, not c") {
		t.Errorf("b was taken for c: %v", err)
	}
}

func TestEveryStrangerIsRefusedWithAReason(t *testing.T) {
	a := open(t, found(t, "a", time.Now), Roll{})
	other := found(t, "b", time.Now)
	b := enter(t, a, ticket(t, a.id), "b")

	old, err := a.id.ca.certify("b", b.key.Public().(ed25519.PublicKey), time.Now().Add(-leafLife-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	soon, err := a.id.ca.certify("b", b.key.Public().(ed25519.PublicKey), time.Now().Add(2*skew))
	if err != nil {
		t.Fatal(err)
	}
	config := func(change func(*tls.Config)) *tls.Config {
		c := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, InsecureSkipVerify: true}
		change(c)
		return c
	}
	show := func(chain ...[]byte) *tls.Config {
		return config(func(c *tls.Config) {
			c.Certificates = []tls.Certificate{{Certificate: chain, PrivateKey: b.key}}
		})
	}
	for _, c := range []struct {
		what   string
		config *tls.Config
		want   string
	}{
		{"another cluster", config(func(c *tls.Config) { c.GetClientCertificate = other.ClientTLS("a").GetClientCertificate }), "refused: certificate of another cluster"},
		{"no certificate", config(func(*tls.Config) {}), "refused: no certificate"},
		{"expired", show(old.Raw), "refused: certificate of b expired at " + old.NotAfter.UTC().Format("2006-01-02")},
		{"not yet", show(soon.Raw), "refused: certificate of b is not valid before"},
		{"old TLS", config(func(c *tls.Config) { c.MinVersion, c.MaxVersion = 0, tls.VersionTLS12 }), "refused: TLS older than 1.3"},
		{"no ALPN", config(func(c *tls.Config) { c.NextProtos = nil }), "refused: speaks neither h2 nor mexec-join/1"},
		{"odd ALPN", config(func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }), "refused: speaks neither h2 nor mexec-join/1"},
	} {
		conn, err := tls.Dial("tcp", a.addr, c.config)
		if err == nil {
			// In TLS 1.3 a client ends its handshake before the server has seen its certificate.
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if err == nil || err == io.EOF {
			t.Errorf("%s: let in: %v", c.what, err)
		}
		t.Run(c.what, func(t *testing.T) { a.log.says(t, c.want) })
	}
}

func TestWhatIsNotTLSIsRefused(t *testing.T) {
	a := open(t, found(t, "a", time.Now), Roll{})
	for text, want := range map[string]string{
		"GET / HTTP/1.0\r\n\r\n": "refused: not TLS",
		"":                       "refused: hung up before the end of the handshake",
	} {
		conn, err := net.Dial("tcp", a.addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, text)
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, conn)
		a.log.says(t, fmt.Sprintf("link %s: %s", conn.LocalAddr(), want))
		conn.Close()
	}
}

func TestAFloodOfStrangersIsAFewLines(t *testing.T) {
	var d damper
	now := time.Unix(0, 0)
	from, quiet := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	lines := 0
	for range 1000 {
		if ok, _ := d.admit(from, now); ok {
			lines++
		}
	}
	if lines != damperBurst {
		t.Errorf("%d lines of 1000", lines)
	}
	if ok, _ := d.admit(quiet, now); !ok {
		t.Error("one address silenced another")
	}
	if ok, skipped := d.admit(from, now.Add(damperEvery)); !ok || skipped != 990 {
		t.Errorf("later: %v, %d skipped", ok, skipped)
	}
	for i := range 3 * damperSize {
		d.admit(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	if len(d.seen) > damperSize {
		t.Errorf("%d addresses remembered", len(d.seen))
	}
}

func TestCloseEndsJoinsThatAreUnderWay(t *testing.T) {
	h := open(t, found(t, "a", time.Now), Roll{})
	conn, err := tls.Dial("tcp", h.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{joinProtocol}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	joins := func() int {
		h.door.mu.Lock()
		defer h.door.mu.Unlock()
		return h.door.joins
	}
	for end := time.Now().Add(5 * time.Second); joins() == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	start := time.Now()
	h.door.Close()
	if took := time.Since(start); joins() != 0 || took > joinTime/2 {
		t.Errorf("%d joins left after %v", joins(), took)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the machine that waits to join was not hung up on")
	}
}

func TestACertificateIsRenewedInItsLastMonth(t *testing.T) {
	then := time.Now().Add(-70 * 24 * time.Hour)
	var past atomic.Bool
	past.Store(true)
	clock := func() time.Time {
		if past.Load() {
			return then
		}
		return time.Now()
	}
	a := found(t, "a", clock)
	ah := open(t, a, Roll{})
	dir := t.TempDir()
	b, err := join(t.Context(), dir, ah.addr, ticket(t, a), "b", ":7734", clock)
	if err != nil {
		t.Fatal(err)
	}
	nobody := func(context.Context, mexec.NodeID) (net.Conn, error) { t.Error("dialled"); return nil, io.EOF }
	if err := b.RenewIfDue(t.Context(), then.Add(59*24*time.Hour), nobody); err != nil {
		t.Error(err)
	}
	past.Store(false)
	before := b.leaf().Leaf
	for _, id := range []*Identity{b, a} {
		if err := id.RenewIfDue(t.Context(), time.Now(), ah.dial); err != nil {
			t.Fatal(err)
		}
		if left := time.Until(id.Expires()); left < leafLife-time.Hour {
			t.Errorf("%s: %v left after renewal", id.Name, left)
		}
		again, err := Load(id.dir)
		if err != nil || !again.Expires().Equal(id.Expires()) {
			t.Errorf("%s: on disk %v, %v", id.Name, again.Expires(), err)
		}
	}
	if before.Equal(b.leaf().Leaf) {
		t.Error("the same certificate")
	}
	ah.log.says(t, "renewed the certificate of node b")
	if you, err := call(t, b, ah, "a"); err != nil || you != "b" {
		t.Errorf("with the new one: %q, %v", you, err)
	}
}

func TestAFailedRenewalChangesNothing(t *testing.T) {
	a := open(t, found(t, "a", time.Now), Roll{})
	b := enter(t, a, ticket(t, a.id), "b")
	before := b.Expires()
	away := func(context.Context, mexec.NodeID) (net.Conn, error) { return nil, io.ErrUnexpectedEOF }
	err := b.RenewIfDue(t.Context(), before, away)
	if err == nil || err.Error() != "renew certificate: node a: unexpected EOF" || !b.Expires().Equal(before) {
		t.Errorf("%v, expires %v", err, b.Expires())
	}
	// An expired one renews nothing: the machine has to join again.
	old, err := a.id.ca.certify("b", b.key.Public().(ed25519.PublicKey), time.Now().Add(-leafLife-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	b.present(old)
	if err := b.RenewIfDue(t.Context(), time.Now(), a.dial); err == nil || !strings.Contains(err.Error(), "the other side refused: expired certificate") {
		t.Errorf("renewed by an expired certificate: %v", err)
	}
	a.log.says(t, "refused: certificate of b expired at")
}
