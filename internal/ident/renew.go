package ident

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"mexec"
)

// renewBefore is when a certificate is renewed: with a third of its life left, the CA's node may be away for a month.
const renewBefore = leafLife / 3

// RenewIfDue gets this node a new certificate where the present one ends within a month, and presents it from the next handshake
// on. dial connects to the link port of the node that holds the CA's key. The key stays: a name belongs to one key
// until another machine joins under it, and then the old machine must not be able to renew. An error leaves all as it was; call
// again later. Not concurrent with itself.
func (id *Identity) RenewIfDue(ctx context.Context, now time.Time, dial func(context.Context, mexec.NodeID) (net.Conn, error)) error {
	if now.Before(id.Expires().Add(-renewBefore)) {
		return nil
	}
	leaf, err := id.renewed(ctx, now, dial)
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	if err := writeCert(id.dir, nodeCertFile, leaf); err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	id.present(leaf)
	return nil
}

func (id *Identity) renewed(ctx context.Context, now time.Time, dial func(context.Context, mexec.NodeID) (net.Conn, error)) (*x509.Certificate, error) {
	if id.ca != nil {
		return id.ca.certify(id.Name, id.key.Public().(ed25519.PublicKey), now)
	}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	raw, err := dial(ctx, id.Authority)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", id.Authority, err)
	}
	config := id.ClientTLS(id.Authority)
	config.NextProtos = []string{joinProtocol}
	a, err := ask(ctx, tls.Client(raw, config), request{Name: id.Name, Gossip: id.Advertise}, id.key)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", id.Authority, err)
	}
	return id.accept(a)
}
