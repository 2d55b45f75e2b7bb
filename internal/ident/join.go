package ident

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"mexec"
)

// joinTime bounds one whole join or renewal, at both ends.
const joinTime = 10 * time.Second

// Join makes this machine the node name of the cluster that token belongs to, by way of the node whose link listens at
// hostport. advertise is this node's gossip host:port; without a host it gets the address that reaches hostport.
// The order is the promise: the other side proves that it is of the token's cluster, then it hears of us.
func Join(ctx context.Context, dir, hostport, tokenText string, name mexec.NodeID, advertise string) (*Identity, error) {
	id, err := join(ctx, dir, hostport, tokenText, name, advertise, time.Now)
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", hostport, err)
	}
	return id, nil
}

func join(ctx context.Context, dir, hostport, text string, name mexec.NodeID, advertise string, clock func() time.Time) (*Identity, error) {
	t, err := parseToken(text)
	if err != nil {
		return nil, err
	}
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if err := vacant(dir); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err := writable(dir); err != nil { // else the cluster would have admitted a node that can't be one
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", hostport)
	if err != nil {
		return nil, dialCause(err)
	}
	id := &Identity{Name: name, Advertise: fillHost(advertise, raw.LocalAddr()), dir: dir, ask: hostport, clock: clock}
	if err := checkAddr(id.Advertise); err != nil {
		raw.Close()
		return nil, err
	}
	var root *x509.Certificate
	conn := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{joinProtocol},
		// crypto/tls could check the chain itself only against a root that we had before; we have its fingerprint.
		// VerifyConnection does all of the check but the host name, and runs inside the handshake.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) (err error) {
			root, id.Cluster, err = vouched(cs.PeerCertificates, t.root, clock())
			return err
		},
	})
	_, id.key, err = ed25519.GenerateKey(rand.Reader)
	if err != nil {
		raw.Close()
		return nil, err
	}
	a, err := ask(ctx, conn, request{Token: strings.TrimSpace(text), Name: name, Gossip: id.Advertise}, id.key)
	if err != nil {
		return nil, err
	}
	id.trust(root)
	leaf, err := id.accept(a)
	if err != nil {
		return nil, err
	}
	id.present(leaf)
	id.Number, id.Authority, id.GossipKey, id.Seeds = a.Number, a.Authority, a.GossipKey, merge(a.Seeds)
	if id.Number < 1 || len(id.GossipKey) != 32 || CheckName(id.Authority) != nil {
		return nil, errors.New("the answer is incomplete")
	}
	return id, id.create(leaf)
}

// vouched finds the CA certificate with this fingerprint in a chain, and checks that it vouches for the chain's first.
func vouched(chain []*x509.Certificate, print [32]byte, now time.Time) (root *x509.Certificate, cluster string, err error) {
	for _, c := range chain {
		if fingerprint(c) == print {
			root = c
		}
	}
	if root == nil {
		return nil, "", errors.New("it is not of the cluster that made the token, or the token is mistyped; nothing was sent")
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	cluster, _, err = verify(chain, roots, x509.ExtKeyUsageServerAuth, now)
	if err != nil {
		return nil, "", errors.New(reason(err))
	}
	return root, cluster, nil
}

// ask shakes hands, sends the request with a CSR for key, and gives the answer. It closes conn in any case.
func ask(ctx context.Context, conn *tls.Conn, req request, key ed25519.PrivateKey) (answer, error) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.NetConn().Close() })()
	var a answer
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return a, err
	}
	req.CSR, req.Version = csr, mexec.Version
	if err := conn.HandshakeContext(ctx); err != nil {
		return a, asking(ctx, err)
	}
	if err := writeMessage(conn, req); err != nil {
		return a, asking(ctx, err)
	}
	if err := readMessage(conn, &a); err != nil {
		return a, asking(ctx, err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("refused: %.500s", strings.ToValidUTF8(strings.ReplaceAll(a.Error, "\n", " "), "?"))
	}
	return a, nil
}

// accept checks the certificate of an answer as every peer will.
func (id *Identity) accept(a answer) (*x509.Certificate, error) {
	leaf, err := x509.ParseCertificate(a.Cert)
	if err != nil {
		return nil, fmt.Errorf("the certificate we got: %w", err)
	}
	cluster, name, err := verify([]*x509.Certificate{leaf}, id.roots, x509.ExtKeyUsageClientAuth, id.clock())
	if err != nil {
		return nil, fmt.Errorf("the certificate we got: %s", reason(err))
	}
	if cluster != id.Cluster || name != id.Name || !id.key.Public().(ed25519.PublicKey).Equal(leaf.PublicKey) {
		return nil, errors.New("the certificate we got is not the one we asked for")
	}
	return leaf, nil
}

func asking(ctx context.Context, err error) error {
	if ctx.Err() == context.DeadlineExceeded {
		return fmt.Errorf("no answer within %v", joinTime)
	}
	return errors.New(reason(err))
}

// dialCause leaves out what the caller says already: the operation and the address.
func dialCause(err error) error {
	var op *net.OpError
	switch {
	case !errors.As(err, &op):
		return err
	case errors.As(err, new(*net.DNSError)): // whoever did not answer, it was not that host
		return op.Err
	case op.Timeout():
		return fmt.Errorf("no answer within %v", joinTime)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: no mexecd listens there", op.Err)
	}
	return op.Err
}
