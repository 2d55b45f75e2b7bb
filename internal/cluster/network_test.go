package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// network is a datagram and stream network in memory: it delays, it can be cut, and it says nothing when a packet is
// lost, like the real one. It works in the virtual time of testing/synctest.
type network struct {
	bytes atomic.Int64 // sent, packets and streams

	mu    sync.Mutex
	hosts map[netip.AddrPort]*host
	cut   func(a, b netip.Addr) bool
}

func newNetwork() *network { return &network{hosts: make(map[netip.AddrPort]*host)} }

// split cuts the network into the part for which side is true and the other; nil heals it.
func (n *network) split(side func(netip.Addr) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = nil
	if side != nil {
		n.cut = func(a, b netip.Addr) bool { return side(a) != side(b) }
	}
}

func (n *network) reach(from, to netip.AddrPort) *host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut != nil && n.cut(from.Addr(), to.Addr()) {
		return nil
	}
	return n.hosts[to]
}

// latency of a local network: 0.2 to 0.5 ms.
func latency() time.Duration { return 200*time.Microsecond + rand.N(300*time.Microsecond) }

// host is one transport on the network.
type host struct {
	net     *network
	addr    netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
	ctx     context.Context
	stop    context.CancelFunc
}

var _ memberlist.Transport = (*host)(nil)

func (n *network) host(addr netip.AddrPort) *host {
	h := &host{net: n, addr: addr, packets: make(chan *memberlist.Packet, 1024), streams: make(chan net.Conn)}
	h.ctx, h.stop = context.WithCancel(context.Background())
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[addr] = h
	return h
}

func (h *host) WriteTo(b []byte, addr string) (time.Time, error) {
	now := time.Now()
	if h.ctx.Err() != nil {
		return now, net.ErrClosed
	}
	h.net.bytes.Add(int64(len(b)))
	to := h.net.reach(h.addr, netip.MustParseAddrPort(addr))
	if to == nil {
		return now, nil
	}
	b = append([]byte(nil), b...)
	time.AfterFunc(latency(), func() {
		select {
		case to.packets <- &memberlist.Packet{Buf: b, From: net.UDPAddrFromAddrPort(h.addr), Timestamp: time.Now()}:
		default:
		}
	})
	return now, nil
}

func (h *host) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(h.ctx, timeout)
	defer cancel()
	if !sleep(ctx, latency()) {
		return nil, net.ErrClosed
	}
	to := h.net.reach(h.addr, netip.MustParseAddrPort(addr))
	if to == nil {
		<-ctx.Done()
		return nil, errors.New("dial " + addr + ": no answer")
	}
	here, there := net.Pipe()
	select {
	case to.streams <- to.own(there):
		return h.own(here), nil
	case <-to.ctx.Done():
		return nil, errors.New("dial " + addr + ": refused")
	case <-ctx.Done():
		return nil, errors.New("dial " + addr + ": no answer")
	}
}

// wire counts what is sent and ends with its host.
type wire struct {
	net.Conn
	bytes  *atomic.Int64
	disown func() bool
}

func (h *host) own(c net.Conn) net.Conn {
	return &wire{c, &h.net.bytes, context.AfterFunc(h.ctx, func() { c.Close() })}
}

func (w *wire) Write(b []byte) (int, error) {
	w.bytes.Add(int64(len(b)))
	return w.Conn.Write(b)
}

func (w *wire) Close() error {
	w.disown()
	return w.Conn.Close()
}

func (h *host) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return h.addr.Addr().AsSlice(), int(h.addr.Port()), nil
}

func (h *host) PacketCh() <-chan *memberlist.Packet { return h.packets }

func (h *host) StreamCh() <-chan net.Conn { return h.streams }

func (h *host) Shutdown() error {
	h.stop()
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.net.hosts[h.addr] == h {
		delete(h.net.hosts, h.addr)
	}
	return nil
}
