package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Net is a set of addresses: those that agree with Addr in every bit that Mask has. The masks of the first mexecd were
// matched so and need not be contiguous, which is why this is no netip.Prefix.
type Net struct {
	addr, mask netip.Addr // of one family
}

// ParseNet reads ADDRESS/BITS or ADDRESS/MASK.
func ParseNet(text string) (Net, error) {
	addr, mask, ok := strings.Cut(text, "/")
	if !ok {
		return Net{}, fmt.Errorf("%q: not ADDRESS/BITS or ADDRESS/MASK", text)
	}
	if strings.ContainsAny(mask, ".:") {
		return pairNet(addr, mask)
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return Net{}, fmt.Errorf("%q: not a network", text)
	}
	bits := p.Addr().AsSlice()
	for i := range bits {
		bits[i] = ^(byte(0xff) >> max(0, min(8, p.Bits()-8*i)))
	}
	m, _ := netip.AddrFromSlice(bits)
	return Net{p.Addr(), m}, nil
}

func pairNet(addr, mask string) (Net, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return Net{}, fmt.Errorf("%q: not an IP address", addr)
	}
	m, err := netip.ParseAddr(mask)
	if err != nil || m.Zone() != "" || m.BitLen() != a.BitLen() {
		return Net{}, fmt.Errorf("%q: not a mask for %s", mask, addr)
	}
	return Net{a, m}, nil
}

// parsePairs reads bare arguments: an address and its mask, or both as one word.
func parsePairs(args []string) ([]Net, error) {
	var nets []Net
	for len(args) > 0 {
		var n Net
		var err error
		switch {
		case strings.Contains(args[0], "/"):
			n, err = ParseNet(args[0])
			args = args[1:]
		case len(args) == 1:
			n, err = pairNet(args[0], "")
			if _, e := netip.ParseAddr(args[0]); e == nil {
				err = errors.New(args[0] + ": an address without its mask")
			}
		default:
			n, err = pairNet(args[0], args[1])
			args = args[2:]
		}
		if err != nil {
			return nil, err
		}
		nets = append(nets, n)
	}
	return nets, nil
}

// Contains tells whether an address, not one of IPv4 in IPv6 clothes, is in the set.
func (n Net) Contains(addr netip.Addr) bool {
	if addr.BitLen() != n.addr.BitLen() {
		return false
	}
	a, b, mask := addr.AsSlice(), n.addr.AsSlice(), n.mask.AsSlice()
	for i := range mask {
		if (a[i]^b[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}

func (n Net) String() string {
	bits, open := 0, false
	for _, b := range n.mask.AsSlice() {
		for bit := byte(0x80); bit != 0; bit >>= 1 {
			switch {
			case b&bit == 0:
				open = true
			case open:
				return n.addr.String() + "/" + n.mask.String()
			default:
				bits++
			}
		}
	}
	return netip.PrefixFrom(n.addr, bits).Masked().String()
}
