package config

import (
	"errors"
	"fmt"
	"net"
)

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
