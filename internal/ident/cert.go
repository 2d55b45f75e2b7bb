package ident

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"mexec"
)

const (
	rootLife = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	// A certificate is valid from an hour before it was made, for a machine whose clock is behind.
	skew = time.Hour
)

// newRoot makes a cluster's CA. Its key, as all keys here, is Ed25519: no parameters to choose, no random number per signature
// to get wrong, 32 bytes. What P-256 would buy, browsers and old TLS stacks, never meets these certificates.
func newRoot(cluster string, now time.Time) (ed25519.PrivateKey, *x509.Certificate, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "mexec cluster " + cluster},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(rootLife),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // signs nodes, never another CA
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: cluster}},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, public, key)
	if err != nil {
		return nil, nil, err
	}
	root, err := x509.ParseCertificate(der)
	return key, root, err
}

// certify signs a node's certificate. One serves both ways: every node is client and server of the others.
func (ca *authority) certify(name mexec.NodeID, public ed25519.PublicKey, now time.Time) (*x509.Certificate, error) {
	end := now.Add(leafLife)
	if ca.root.NotAfter.Before(end) {
		end = ca.root.NotAfter
	}
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: string(name)},
		NotBefore:             now.Add(-skew),
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: ca.cluster, Path: "/node/" + string(name)}},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.root, public, ca.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// subject reads spiffe://CLUSTER/node/NAME. SPIFFE allows one URI only, and so do we: a second one would be a second name.
func subject(cert *x509.Certificate) (cluster string, name mexec.NodeID, err error) {
	if len(cert.URIs) != 1 {
		return "", "", errors.New("certificate: not that of a node")
	}
	u := cert.URIs[0]
	s, ok := strings.CutPrefix(u.Path, "/node/")
	name = mexec.NodeID(s)
	if u.Scheme != "spiffe" || !ok || u.Host == "" || CheckName(name) != nil {
		return "", "", fmt.Errorf("certificate: %.100q is no node", u)
	}
	return u.Host, name, nil
}

// verify checks a chain up to root and that it is a node of the cluster, and says which. It is what crypto/tls does
// with RootCAs, less the host name: nodes have names, not addresses.
func verify(chain []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage, now time.Time) (cluster string, name mexec.NodeID, err error) {
	if len(chain) == 0 {
		return "", "", errors.New("no certificate")
	}
	_, err = chain[0].Verify(x509.VerifyOptions{
		Roots:       roots,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return "", "", err
	}
	return subject(chain[0])
}

func fingerprint(cert *x509.Certificate) [32]byte { return sha256.Sum256(cert.Raw) }

func serial() *big.Int { return new(big.Int).SetBytes(random(16)) }
