package system_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mexec/internal/ident"
	"mexec/test/hosts"
)

// Who is no member gets in nowhere, is told why in one line, and leaves one line in the log of the node that refused.

var tokenOf = regexp.MustCompile(`--token (\S+)`)

// fresh makes a token on a host that holds its cluster's key.
func fresh(t *testing.T, h *hosts.Host, life time.Duration) string {
	t.Helper()
	r := run(t, h.Command("mexecctl", "token", "--ttl", life.String()))
	m := tokenOf.FindStringSubmatch(r.out)
	if m == nil {
		t.Fatalf("token: %+v", r)
	}
	return m[1]
}

// stranger tries to join from a host under a name that nobody has.
func stranger(t *testing.T, from *hosts.Host, to, token string) (result, string) {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	return run(t, from.Command("mexecctl", "join", to, "--token", token, "--state", state, "--name", "stranger")), state
}

// other is the identity of the first node of another cluster, and a token of it.
func other(t *testing.T, h *hosts.Host) (*ident.Identity, string) {
	t.Helper()
	state := filepath.Join(t.TempDir(), "other")
	r := run(t, h.Command("mexecctl", "init", "--state", state, "--name", "node2", "--advertise", h.Addr))
	m := tokenOf.FindStringSubmatch(r.out)
	if m == nil {
		t.Fatalf("init: %+v", r)
	}
	id, err := ident.Load(state)
	if err != nil {
		t.Fatal(err)
	}
	return id, m[1]
}

// pair is a set of its own: of one address a daemon logs ten refusals at once, and then one each ten seconds.
func pair(t *testing.T) (node1, node2 *hosts.Host) {
	t.Helper()
	needRoot(t)
	hs := hosts.Test(t, hosts.Config{N: 2, Bin: bin})
	if err := hs.WaitUp(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	return hs.All[0], hs.All[1]
}

func TestATokenThatIsNotGoodIsRefusedInOneLineAtBothEnds(t *testing.T) {
	node1, node2 := pair(t)
	good := fresh(t, node1, time.Hour)
	wrong := good[:len(good)-4] + "AAAA"
	_, foreign := other(t, node2)
	expired := fresh(t, node1, time.Second)
	expiry := time.Now().Add(2 * time.Second) // in a token it is a whole second
	eventually(t, "the token has expired", func() bool { return time.Now().After(expiry) })
	for name, c := range map[string]struct{ token, client, server string }{
		"wrong":              {wrong, "refused: token: wrong", "refused: token: wrong"},
		"expired":            {expired, "refused: token: expired at 20", "refused: token: expired at 20"},
		"of another cluster": {foreign, "it is not of the cluster that made the token, or the token is mistyped; nothing was sent", "refused: the other side did not accept our certificate"},
		"no token":           {"hello", "token: malformed", ""},
	} {
		since := len(node1.Log())
		r, state := stranger(t, node2, "10.77.0.1:7733", c.token)
		if r.code != 1 || r.out != "" || strings.Count(r.errs, "\n") != 1 || !strings.HasPrefix(r.errs, "mexecctl: join 10.77.0.1:7733: ") || !strings.Contains(r.errs, c.client) {
			t.Errorf("%s: %+v", name, r)
		}
		if _, err := os.Stat(state); err == nil {
			t.Errorf("%s: something was left in the state directory", name)
		}
		if c.server != "" {
			says(t, node1, since, "level=WARN", "link 10.77.0.2:", c.server)
		}
	}
	// The name of a node that is up is not given away, whatever the token.
	since := len(node1.Log())
	r := run(t, node2.Command("mexecctl", "join", "10.77.0.1:7733", "--token", good, "--state", filepath.Join(t.TempDir(), "s"), "--name", "node2"))
	if r.code != 1 || !strings.Contains(r.errs, "a node node2 is up") {
		t.Errorf("a name that is taken: %+v", r)
	}
	says(t, node1, since, "refused: join: a node node2 is up")
	// Only the node that holds the key lets others in; any other says which one does.
	if r, _ := stranger(t, node1, "10.77.0.2:7733", good); r.code != 1 || !strings.Contains(r.errs, "ask node node1") {
		t.Errorf("the wrong node: %+v", r)
	}
}

// recorder keeps what comes in on a connection.
type recorder struct {
	net.Conn
	got bytes.Buffer
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.got.Write(b[:n])
	return n, err
}

func TestAManInTheMiddleHearsNothingOfTheToken(t *testing.T) {
	node1, _, _ := three(t)
	token := fresh(t, node1, time.Hour)
	public, key, _ := ed25519.GenerateKey(rand.Reader)
	self := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"node1"}}
	cert, err := x509.CreateCertificate(rand.Reader, self, self, public, key)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	heard := make(chan string, 1)
	go func() {
		raw, err := ln.Accept()
		if err != nil {
			heard <- err.Error()
			return
		}
		rec := &recorder{Conn: raw}
		conn := tls.Server(rec, &tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}},
			NextProtos:   []string{"mexec-join/1"},
		})
		clear, _ := io.ReadAll(conn)
		conn.Close()
		heard <- string(clear) + rec.got.String()
	}()
	root, _ := filepath.Abs("../../bin/mexecctl")
	if bin != "" {
		root = filepath.Join(bin, "mexecctl")
	}
	state := filepath.Join(t.TempDir(), "state")
	r := run(t, exec.Command(root, "join", ln.Addr().String(), "--token", token, "--state", state, "--name", "victim"))
	if r.code != 1 || !strings.HasSuffix(r.errs, "it is not of the cluster that made the token, or the token is mistyped; nothing was sent\n") {
		t.Errorf("%+v", r)
	}
	if h := <-heard; strings.Contains(h, token) || strings.Contains(h, "victim") || strings.Contains(h, `"csr"`) || h == "" {
		t.Errorf("it heard %q", h)
	}
}

func TestAStrangersTLSIsRefusedBeforeAnyJob(t *testing.T) {
	node1, node2 := pair(t)
	id, _ := other(t, node2)
	foreign := id.ClientTLS("node1")
	foreign.InsecureSkipVerify = true // it wants in; that it would refuse us too is not the question
	foreign.VerifyConnection, foreign.VerifyPeerCertificate = nil, nil
	unknown := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	old := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, MaxVersion: tls.VersionTLS12}
	odd := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}
	for _, c := range []struct {
		config *tls.Config
		why    string
	}{
		{foreign, "certificate of another cluster"},
		{unknown, "no certificate"},
		{old, "TLS older than 1.3"},
		{odd, "speaks neither h2 nor mexec-join/1"},
	} {
		since := len(node1.Log())
		raw, err := node2.Dial("tcp", "10.77.0.1:7733")
		if err != nil {
			t.Fatal(err)
		}
		raw.SetDeadline(time.Now().Add(20 * time.Second))
		conn := tls.Client(raw, c.config)
		if err = conn.Handshake(); err == nil {
			// In TLS 1.3 a client hears of its refusal by what comes after.
			_, err = conn.Read(make([]byte, 1))
		}
		if err == nil || os.IsTimeout(err) {
			t.Errorf("%s: %v", c.why, err)
		}
		raw.Close()
		says(t, node1, since, "level=WARN", "link 10.77.0.2:", "refused: ", c.why)
	}
	// And a node of another cluster believes us as little as we believe it.
	raw, err := node2.Dial("tcp", "10.77.0.1:7733")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := tls.Client(raw, id.ClientTLS("node1")).Handshake(); err == nil {
		t.Error("another cluster's node takes node1 for its own")
	}
	if r := run(t, node1.Command("mexec", "-n", "2", "uname", "-n")); r.out != "node2\n" {
		t.Errorf("%+v", r)
	}
}
