package ident

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"mexec"
)

const linkProtocol = "h2"

var errNoProtocol = errors.New("speaks neither " + linkProtocol + " nor " + joinProtocol)

// ServerTLS is the link port's side of every handshake: TLS 1.3, and by ALPN either h2, for which crypto/tls requires and checks a
// client certificate of this cluster, or mexec-join/1, for which one is checked if it is shown.
func (id *Identity) ServerTLS() *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientCAs:  id.roots,
		Time:       id.clock,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return id.leaf(), nil
		},
		// Links live long; a ticket would only outlive the certificate that it was given for.
		SessionTicketsDisabled: true,
	}
	link := base.Clone()
	link.NextProtos = []string{linkProtocol}
	link.ClientAuth = tls.RequireAndVerifyClientCert
	link.VerifyConnection = func(cs tls.ConnectionState) error {
		_, err := id.node(cs)
		return err
	}
	join := base.Clone()
	join.NextProtos = []string{joinProtocol}
	join.ClientAuth = tls.VerifyClientCertIfGiven

	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		switch {
		case slices.Contains(hello.SupportedProtos, linkProtocol):
			return link, nil
		case slices.Contains(hello.SupportedProtos, joinProtocol):
			return join, nil
		}
		return nil, errNoProtocol
	}
	return base
}

// ClientTLS is the other side: it connects to peer and to nobody else.
func (id *Identity) ClientTLS(peer mexec.NodeID) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{linkProtocol},
		Time:       id.clock,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return id.leaf(), nil
		},
		// This skips less than it says: crypto/tls can't check a chain without checking a host name too, and nodes have
		// none. VerifyConnection checks the chain in its stead, then the one name that counts.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			cluster, name, err := verify(cs.PeerCertificates, id.roots, x509.ExtKeyUsageServerAuth, id.clock())
			if err != nil {
				return errors.New(reason(err))
			}
			if cluster != id.Cluster || name != peer {
				return fmt.Errorf("certificate: of node %s, not %s", name, peer)
			}
			return nil
		},
	}
}

// PeerID names the node at the other end. It believes the certificate: ask it only about a handshake that was made with ServerTLS
// or ClientTLS and has ended well.
func PeerID(cs tls.ConnectionState) (mexec.NodeID, error) {
	if len(cs.PeerCertificates) == 0 {
		return "", errors.New("no certificate")
	}
	_, name, err := subject(cs.PeerCertificates[0])
	return name, err
}

// node is PeerID, and the cluster has to be ours.
func (id *Identity) node(cs tls.ConnectionState) (mexec.NodeID, error) {
	if len(cs.PeerCertificates) == 0 {
		return "", errors.New("no certificate")
	}
	cluster, name, err := subject(cs.PeerCertificates[0])
	if err == nil && cluster != id.Cluster {
		err = errors.New("certificate of another cluster")
	}
	return name, err
}
