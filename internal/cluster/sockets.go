package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// sockets is gossip's transport: one UDP and one TCP socket on the same port. memberlist has its own, refused because it
// hands on packets of anybody (the fence must stand before the decryption), can't end a dial that is under way (so that
// Close would last as long as a dead peer's timeout), does not start on a machine that has only public addresses, and
// allocates 64 KiB for each packet.
type sockets struct {
	tcp       net.Listener
	udp       net.PacketConn
	advertise netip.AddrPort
	allow     func(netip.Addr) bool
	refused   func(netip.Addr)

	packets chan *memberlist.Packet
	streams chan net.Conn
	ctx     context.Context // ends every dial, every connection and both loops
	cancel  context.CancelFunc
	loops   sync.WaitGroup
}

var _ memberlist.Transport = (*sockets)(nil)

// listen opens both sockets. refused is told of each packet and connection that allow does not like; it must not block.
func listen(bind string, allow func(netip.Addr) bool, refused func(netip.Addr)) (*sockets, error) {
	host, port, err := net.SplitHostPort(bind)
	if err != nil {
		return nil, fmt.Errorf("listen for gossip on %q: %w", bind, err)
	}
	// A free port of one protocol may be taken in the other: ask again.
	for range 10 {
		var s *sockets
		if s, err = listenBoth(host, port); err == nil {
			s.allow, s.refused = allow, refused
			s.packets, s.streams = make(chan *memberlist.Packet), make(chan net.Conn)
			s.ctx, s.cancel = context.WithCancel(context.Background())
			s.loops.Go(s.readPackets)
			s.loops.Go(s.accept)
			return s, nil
		}
		if port != "0" {
			break
		}
	}
	return nil, fmt.Errorf("listen for gossip on %s: %w", bind, err)
}

func listenBoth(host, port string) (*sockets, error) {
	tcp, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	bound := tcp.Addr().(*net.TCPAddr).Port
	udp, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(bound)))
	if err != nil {
		tcp.Close()
		return nil, err
	}
	// Bursts (a whole cluster that starts at once) must not be lost for want of a buffer; as much as the kernel gives.
	_ = udp.(*net.UDPConn).SetReadBuffer(1 << 20)
	return &sockets{tcp: tcp, udp: udp}, nil
}

func (s *sockets) port() int { return s.tcp.Addr().(*net.TCPAddr).Port }

func (s *sockets) welcome(a net.Addr) bool {
	var ip netip.Addr
	switch a := a.(type) {
	case *net.UDPAddr:
		ip = a.AddrPort().Addr().Unmap()
	case *net.TCPAddr:
		ip = a.AddrPort().Addr().Unmap()
	}
	if ip.IsLoopback() || s.allow(ip) {
		return true
	}
	s.refused(ip)
	return false
}

func (s *sockets) readPackets() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if s.ctx.Err() != nil {
			return
		}
		if err != nil {
			s.pause()
			continue
		}
		if n == 0 || !s.welcome(from) {
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: time.Now()}
		select {
		case s.packets <- p:
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *sockets) accept() {
	for {
		c, err := s.tcp.Accept()
		if s.ctx.Err() != nil {
			if err == nil {
				c.Close()
			}
			return
		}
		if err != nil { // out of descriptors, most likely
			s.pause()
			continue
		}
		if !s.welcome(c.RemoteAddr()) {
			c.Close()
			continue
		}
		select {
		case s.streams <- s.own(c):
		case <-s.ctx.Done():
			c.Close()
			return
		}
	}
}

func (s *sockets) pause() {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-s.ctx.Done():
	}
}

// stream is a connection that ends when the transport does.
type stream struct {
	net.Conn
	disown func() bool
}

func (s *sockets) own(c net.Conn) net.Conn {
	return stream{c, context.AfterFunc(s.ctx, func() { c.Close() })}
}

func (c stream) Close() error {
	c.disown()
	return c.Conn.Close()
}

// FinalAdvertiseAddr ignores memberlist's own configuration: the address was settled before (address.go).
func (s *sockets) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return s.advertise.Addr().AsSlice(), int(s.advertise.Port()), nil
}

func (s *sockets) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, fmt.Errorf("send gossip: %w", err)
	}
	_, err = s.udp.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return time.Now(), err
}

func (s *sockets) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return s.own(c), nil
}

func (s *sockets) PacketCh() <-chan *memberlist.Packet { return s.packets }

func (s *sockets) StreamCh() <-chan net.Conn { return s.streams }

// Shutdown returns when both loops have ended.
func (s *sockets) Shutdown() error {
	s.cancel()
	err := errors.Join(s.tcp.Close(), s.udp.Close())
	s.loops.Wait()
	return err
}
