package ident

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// maxJoins is how many joins are served at a time; a flood of them leaves the links alone.
const maxJoins = 16

// Door is the link port as grpc sees it: the TransportCredentials of its server. Members pass, with credentials.TLSInfo for
// their peers; machines that join are served here, in goroutines of the door; all others are turned away with one line in
// the log. It runs in the goroutines of grpc and makes none of them wait for another.
type Door struct {
	id   *Identity
	tls  *tls.Config
	roll Roll
	log  *slog.Logger

	ctx   context.Context
	close context.CancelFunc

	mu     sync.Mutex // guards the rest
	closed bool
	joins  int
	served sync.WaitGroup // Add under mu, while not closed
	damper damper
}

var _ credentials.TransportCredentials = (*Door)(nil)

// Credentials opens the door. Close it after grpc's server has stopped.
func (id *Identity) Credentials(log *slog.Logger, roll Roll) *Door {
	ctx, cancel := context.WithCancel(context.Background())
	return &Door{id: id, tls: id.ServerTLS(), roll: roll, log: log, ctx: ctx, close: cancel}
}

// ServerHandshake takes at most 10 s.
func (d *Door) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	// It stands until grpc clears it, after the HTTP/2 preface: this bounds that too.
	raw.SetDeadline(time.Now().Add(joinTime))
	conn := tls.Server(raw, d.tls)
	if err := conn.HandshakeContext(d.ctx); err != nil {
		d.refuse(raw.RemoteAddr(), reason(err))
		conn.Close()
		return nil, nil, err
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol == joinProtocol {
		if err := d.join(conn); err != nil {
			d.refuse(raw.RemoteAddr(), err.Error())
			conn.Close()
			return nil, nil, err
		}
		return nil, nil, credentials.ErrConnDispatched
	}
	return conn, credentials.TLSInfo{
		State:          state,
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}, nil
}

func (d *Door) join(conn *tls.Conn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errors.New("join: shutting down")
	}
	if d.joins == maxJoins {
		return fmt.Errorf("join: %d others are being served", d.joins)
	}
	d.joins++
	d.served.Go(func() {
		err := d.id.ServeJoin(d.ctx, conn, d.roll, d.log)
		if err != nil {
			d.refuse(conn.RemoteAddr(), err.Error())
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.joins--
	})
	return nil
}

func (d *Door) refuse(from net.Addr, why string) {
	var addr netip.Addr
	if a, err := netip.ParseAddrPort(from.String()); err == nil {
		addr = a.Addr().Unmap()
	}
	d.mu.Lock()
	ok, skipped := d.damper.admit(addr, time.Now())
	d.mu.Unlock()
	if !ok {
		return
	}
	if skipped > 0 {
		why += fmt.Sprintf(" (and %d more from there)", skipped)
	}
	d.log.Warn(fmt.Sprintf("link %s: refused: %s", from, why))
}

// Close ends the joins that are being served and waits for them.
func (d *Door) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.close()
	d.served.Wait()
	return nil
}

// ClientHandshake refuses: a door has one side. Clients use credentials.NewTLS(id.ClientTLS(peer)).
func (d *Door) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("ident: a door is not for clients")
}

func (d *Door) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone gives the door itself: it has no settings that a copy could change.
func (d *Door) Clone() credentials.TransportCredentials { return d }

func (d *Door) OverrideServerName(string) error { return nil }
