package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"mexec/internal/wire"
)

// Query asks the daemon behind socket one question (PROTOCOL.md §1) and reads the JSON of its reply into into. It waits for
// as long as ctx lets it.
func Query(ctx context.Context, socket, query string, into any) error {
	reply, err := ask(ctx, socket, query)
	if err == nil {
		err = json.Unmarshal(reply, into)
	}
	if err != nil {
		return fmt.Errorf("query %s: %w", socket, err)
	}
	return nil
}

func ask(ctx context.Context, socket, query string) ([]byte, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errors.New("no mexecd serves it: start one, or name its socket in MEXEC_SOCKET")
	}
	if err != nil {
		return nil, cause(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := conn.Write(wire.AppendText(nil, wire.Query, query)); err != nil {
		return nil, gone(ctx, err)
	}
	return readReply(ctx, conn)
}

// errRefused is of a daemon that would say the same each time that it is asked; refusal is it with what the daemon said.
var errRefused = errors.New("refused")

type refusal string

func (r refusal) Error() string { return fmt.Sprintf("%v: %q", errRefused, string(r)) }

func (r refusal) Unwrap() error { return errRefused }

// readReply reads one reply to a query.
func readReply(ctx context.Context, conn net.Conn) ([]byte, error) {
	var head [wire.HeaderLen]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, gone(ctx, err)
	}
	h, err := wire.ParseHeader(head[:])
	if err != nil {
		return nil, err
	}
	body := make([]byte, h.Len)
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, gone(ctx, err)
	}
	switch h.Type {
	case wire.Reply:
		return body, nil
	case wire.Failed:
		return nil, refusal(body[min(4, len(body)):])
	case wire.Waiting: // all that is said to whom it does not serve, or does not understand
		return nil, fmt.Errorf("%w: the daemon is another user's, or of another version", errRefused)
	}
	return nil, fmt.Errorf("%w: answered by %v", errRefused, h.Type)
}

func gone(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == io.EOF, errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errors.New("the daemon hung up without a reply")
	case err == io.ErrUnexpectedEOF:
		return errors.New("the reply was cut short")
	}
	return cause(err)
}

// cause leaves out the operation and address that Query names itself.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// Socket is where a command finds its daemon, in the order of PROTOCOL.md §1: the one that is named, a user's own, the machine's.
func Socket(getenv func(string) string) string {
	const machine = "/run/mexec/mexecd.sock"
	if path := getenv("MEXEC_SOCKET"); path != "" {
		return path
	}
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		own := filepath.Join(dir, "mexec/mexecd.sock")
		if _, err := os.Stat(own); err == nil {
			return own
		}
	}
	return machine
}
