package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// splitSeed reads HOST, IP, [IP6], IP6, HOST:PORT, IP:PORT or [IP6]:PORT.
func splitSeed(seed string, port int) (host string, _ int, err error) {
	seed = strings.TrimSpace(seed)
	bare := seed
	if inner, ok := strings.CutPrefix(seed, "["); ok && strings.HasSuffix(inner, "]") {
		bare = strings.TrimSuffix(inner, "]")
	}
	if a, err := netip.ParseAddr(bare); err == nil {
		return a.String(), port, nil
	}
	host, p, found := seed, "", false
	if i := strings.LastIndexByte(seed, ':'); i >= 0 {
		if host, p, err = net.SplitHostPort(seed); err != nil {
			return "", 0, fmt.Errorf("read seed %q: %w", seed, err)
		}
		found = true
	}
	if found {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("read seed %q: %q is no port", seed, p)
		}
		port = int(n)
	}
	if host == "" || strings.ContainsAny(host, "/ \t#") {
		return "", 0, fmt.Errorf("read seed %q: not HOST or HOST:PORT", seed)
	}
	return host, port, nil
}

// resolve looks a seed up. memberlist would do it too, but first by a DNS query over TCP for all records of the name,
// which many servers refuse and none can be made to give up early.
func resolve(ctx context.Context, seed string, port int) ([]netip.AddrPort, error) {
	host, port, err := splitSeed(seed, port)
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), uint16(port))}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up seed %q: %w", seed, err)
	}
	all := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		all[i] = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return all, nil
}

// advertised settles under which address the others find this node's gossip: the one that was configured; else the one
// that it is bound to; else the one of its link, for whoever reaches that reaches this; else the one that the kernel
// would use to go out.
func advertised(ctx context.Context, advertise, bind, link string, port int) (netip.AddrPort, error) {
	if advertise != "" {
		all, err := resolve(ctx, advertise, port)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("advertise gossip at %s: %w", advertise, err)
		}
		return all[0], nil
	}
	for _, hostport := range []string{bind, link} {
		host, _, err := net.SplitHostPort(hostport)
		if err != nil || host == "" {
			continue
		}
		all, err := resolve(ctx, host, port)
		if err == nil && !all[0].Addr().IsUnspecified() {
			return all[0], nil
		}
	}
	return netip.AddrPortFrom(outward(), uint16(port)), nil
}

// outward is the source address towards anywhere else: a UDP socket that is connected tells it, and sends nothing.
// On a host without a default route it is the first address of an interface, and without any, loopback.
func outward() netip.Addr {
	for _, anywhere := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} { // documentation networks
		if c, err := net.Dial("udp", anywhere); err == nil {
			c.Close()
			return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		}
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				return ip.Unmap()
			}
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}
