package ident

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"mexec"
)

// Roll is the cluster as the daemon sees it now. A nil function knows of nobody.
type Roll struct {
	Seeds func() []string         // gossip addresses of nodes that are up, this one's first
	Up    func(mexec.NodeID) bool // whether a node of this name is up
}

// ServeJoin answers one request on a connection whose handshake, with ALPN mexec-join/1, is done, and closes it. It takes at
// most 10 s. The error is the refusal, one line with no address; who admitted whom is logged here.
func (id *Identity) ServeJoin(ctx context.Context, conn *tls.Conn, roll Roll, log *slog.Logger) error {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	// Not a deadline: grpc clears the deadline of a connection after it was taken from it.
	defer context.AfterFunc(ctx, func() { conn.NetConn().Close() })()

	var req request
	if err := readMessage(conn, &req); err != nil {
		if ctx.Err() == context.DeadlineExceeded {
			return fmt.Errorf("join: silent for %v", joinTime)
		}
		if errors.Is(err, errMalformed) {
			writeMessage(conn, answer{Error: err.Error()})
			return fmt.Errorf("join: %w", err)
		}
		return fmt.Errorf("join: %s", reason(err))
	}
	req.Gossip = fillHost(req.Gossip, conn.RemoteAddr())
	a, note, err := id.answer(req, conn.ConnectionState(), roll)
	if err != nil {
		writeMessage(conn, answer{Error: err.Error()})
		return err
	}
	log.Info(fmt.Sprintf("link %s: %s", conn.RemoteAddr(), note))
	if err := writeMessage(conn, a); err != nil {
		return fmt.Errorf("join: answer: %s", reason(err))
	}
	return nil
}

// answer decides about a request; the note is for the log.
func (id *Identity) answer(req request, cs tls.ConnectionState, roll Roll) (a answer, note string, err error) {
	if id.ca == nil {
		return a, "", fmt.Errorf("join: this node does not hold the cluster's CA key: ask node %s%s", id.Authority, at(id.ask))
	}
	now := id.clock()
	// Nothing of a stranger's request is parsed before this.
	if req.Token != "" {
		t, err := parseToken(req.Token)
		if err == nil {
			err = id.ca.check(t, now)
		}
		if err != nil {
			return a, "", err
		}
	} else if len(cs.PeerCertificates) == 0 {
		return a, "", errors.New("join: neither token nor certificate")
	}
	if err := CheckName(req.Name); err != nil {
		return a, "", err
	}
	if err := checkAddr(req.Gossip); err != nil {
		return a, "", err
	}
	public, err := proven(req.CSR)
	if err != nil {
		return a, "", err
	}
	if req.Token != "" {
		a, note, err = id.admit(req, public, roll, now)
	} else {
		a, note, err = id.extend(req, public, cs)
	}
	if err != nil {
		return answer{}, "", err
	}
	leaf, err := id.ca.certify(req.Name, public, now)
	if err != nil {
		return answer{}, "", err
	}
	a.Cert, a.Authority = leaf.Raw, id.Authority
	return a, note, nil
}

// admit gives a name to a key. A token lets a machine in, it does not let it be somebody else: a name that is up, or the CA's
// own, is never given away. One that is down may be: its machine was installed anew. That is said in the log, and the
// old key can't renew from then on.
func (id *Identity) admit(req request, public ed25519.PublicKey, roll Roll, now time.Time) (answer, string, error) {
	if req.Name == id.Name || roll.Up != nil && roll.Up(req.Name) {
		return answer{}, "", fmt.Errorf("join: a node %s is up: choose another name with --name, or stop that one first", req.Name)
	}
	e, err := id.ca.enrol(req.Name, public, req.Gossip, now)
	if err != nil {
		return answer{}, "", fmt.Errorf("join: register: %w", err)
	}
	note := fmt.Sprintf("admitted node %d, %s, at %s", e.number, req.Name, req.Gossip)
	if e.before != nil {
		note = fmt.Sprintf("admitted node %d, %s, at %s AGAIN: it was at %s with another key since %s", e.number, req.Name, req.Gossip,
			e.before.Gossip, e.before.Joined.Format(time.DateTime+"Z"))
	}
	var up []string
	if roll.Seeds != nil {
		up = roll.Seeds()
	}
	seeds := merge([]string{id.Advertise}, up, id.ca.seeds(req.Name))
	return answer{Number: e.number, GossipKey: id.GossipKey, Seeds: seeds[:min(len(seeds), maxSeeds)]}, note, nil
}

// extend lets a node keep its name. The handshake has checked the certificate's chain and time.
func (id *Identity) extend(req request, public ed25519.PublicKey, cs tls.ConnectionState) (answer, string, error) {
	cluster, name, err := subject(cs.PeerCertificates[0])
	switch {
	case err != nil:
		return answer{}, "", fmt.Errorf("renew: %w", err)
	case cluster != id.Cluster || name != req.Name || !public.Equal(cs.PeerCertificates[0].PublicKey):
		return answer{}, "", fmt.Errorf("renew: the request is not for the certificate of %s", name)
	case !id.ca.holds(name, public):
		return answer{}, "", fmt.Errorf("renew: the name %s belongs to a machine that joined later", name)
	}
	return answer{}, fmt.Sprintf("renewed the certificate of node %s", name), nil
}

// proven gives the public key of a CSR whose sender holds the private one.
func proven(der []byte) (ed25519.PublicKey, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, errors.New("join: malformed certificate request")
	}
	public, ok := csr.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("join: not an Ed25519 key")
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, errors.New("join: certificate request not signed by its key")
	}
	return public, nil
}

func at(hostport string) string {
	if _, _, err := net.SplitHostPort(hostport); err != nil {
		return ""
	}
	return " at " + hostport
}
