package ident

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"mexec"
)

// The join protocol: inside TLS 1.3, ALPN mexec-join/1, one request and one answer, each a u32 length (little-endian, at most
// 64 KiB) and that much JSON. Fields that a reader does not know are skipped, so that either side can be newer.
const (
	joinProtocol = "mexec-join/1"
	maxMessage   = 64 << 10
	maxSeeds     = 16 // in an answer: enough to find the gossip, which knows the rest
)

// request asks for a certificate: with a token to join, without one to renew the certificate that the connection shows.
type request struct {
	Token   string       `json:"token,omitempty"`
	Name    mexec.NodeID `json:"name"`
	Gossip  string       `json:"gossip"` // host:port; no host: the address that the request comes from
	CSR     []byte       `json:"csr"`    // PKCS #10, DER: proves that the asker holds the key. Its names are not read
	Version string       `json:"version"`
}

type answer struct {
	Error     string       `json:"error,omitempty"` // one line; nothing else is set then
	Cert      []byte       `json:"cert,omitempty"`  // DER
	Number    int          `json:"number,omitempty"`
	Authority mexec.NodeID `json:"authority,omitempty"`
	GossipKey []byte       `json:"gossip_key,omitempty"`
	Seeds     []string     `json:"seeds,omitempty"`
}

func writeMessage(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > maxMessage {
		return fmt.Errorf("message of %d bytes: too long", len(body))
	}
	_, err = w.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

var errMalformed = errors.New("malformed message")

func readMessage(r io.Reader, into any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return cut(err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > maxMessage {
		return fmt.Errorf("%w: %d bytes long", errMalformed, n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return cut(err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	return nil
}

func cut(err error) error {
	if err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: cut short", errMalformed)
	}
	return err
}

// checkAddr wants host:port with a host, as another machine would dial it.
func checkAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %.100q: not host:port", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("address %.100q: bad port", addr)
	}
	if ip := net.ParseIP(host); host == "" || len(host) > 253 || ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("address %.100q: no host that others could reach", addr)
	}
	return nil
}

// fillHost gives an address without host, or with the unspecified one, the host of where.
func fillHost(addr string, where net.Addr) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if h, _, err := net.SplitHostPort(where.String()); err == nil {
			return net.JoinHostPort(h, port)
		}
	}
	return addr
}
