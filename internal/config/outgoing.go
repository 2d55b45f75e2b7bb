package config

import (
	"errors"
	"fmt"
	"net"
)

// AdvertisedHost is the host by which others reach this node, for an empty Advertise. remembered is the address that it told
// others when it joined: it goes before a guess, as long as this machine still has it.
func AdvertisedHost(remembered string) (string, error) {
	host, _, err := net.SplitHostPort(remembered)
	if err != nil {
		return OutgoingHost()
	}
	// Only an address of our own can be bound.
	if probe, err := net.ListenPacket("udp", net.JoinHostPort(host, "0")); err == nil {
		probe.Close()
		return host, nil
	}
	return OutgoingHost()
}

// OutgoingHost is the address that this machine would send from, for an empty Advertise. Connecting a UDP socket asks the
// routing table and sends nothing; the address is of a network that is reserved for documents. A machine without a default route
// has at least an interface.
func OutgoingHost() (string, error) {
	if conn, err := net.Dial("udp", "192.0.2.1:9"); err == nil {
		defer conn.Close()
		return conn.LocalAddr().(*net.UDPAddr).IP.String(), nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("outgoing address: %w", err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String(), nil
		}
	}
	return "", errors.New("outgoing address: no network: name one with --advertise")
}
