// Package wire holds the codecs of the local protocol and of the exec body, which all three protocols carry: bytes in, messages out. PROTOCOL.md is its text.
//
// It is pure: no socket, clock or goroutine. What a decoder returns aliases the bytes it was given and lives as long as they do.
// Every decoder takes any bytes at all: it returns a message or an error of one line, and never panics, reads past the end
// or allocates more than a small multiple of its input.
//
// The link protocol is protobuf and lives in package mexecpb, generated from mexec.proto by `make proto`.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

// FrameType says what a frame of the local protocol is.
type FrameType uint8

const (
	Exec    FrameType = 1
	Signal  FrameType = 2
	Query   FrameType = 3
	Here    FrameType = 16
	Sent    FrameType = 17
	Exited  FrameType = 18
	Killed  FrameType = 19
	Stopped FrameType = 20
	Failed  FrameType = 21
	Reply   FrameType = 22
	Waiting FrameType = 23
	Closed  FrameType = 24
)

func (t FrameType) String() string {
	names := map[FrameType]string{Exec: "EXEC", Signal: "SIGNAL", Query: "QUERY", Here: "HERE", Sent: "SENT",
		Exited: "EXITED", Killed: "KILLED", Stopped: "STOPPED", Failed: "FAILED", Reply: "REPLY", Waiting: "WAITING", Closed: "CLOSED"}
	if n, ok := names[t]; ok {
		return n
	}
	return fmt.Sprintf("frame type %d", uint8(t))
}

const (
	HeaderLen = 8
	MaxExec   = 8 << 20  // longest EXEC body: ARG_MAX is 6 MiB at most
	MaxFrame  = 64 << 10 // longest body of any other frame

	magic   = 0x584d // "MX"
	version = 1
)

var le = binary.LittleEndian

// Header begins every frame of the local protocol.
type Header struct {
	Type FrameType
	Len  int
}

var errFrame = errors.New("not a frame of the local protocol")

// ParseHeader reads the first HeaderLen bytes of a frame.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("frame header: %d bytes of %d", len(b), HeaderLen)
	}
	if le.Uint16(b) != magic {
		return Header{}, errFrame
	}
	if b[2] != version {
		return Header{}, fmt.Errorf("frame version %d: this daemon speaks %d", b[2], version)
	}
	h := Header{Type: FrameType(b[3])}
	n := le.Uint32(b[4:])
	limit := uint32(MaxFrame)
	switch h.Type {
	case Exec:
		limit = MaxExec
	case Reply:
		limit = MaxExec // a long list of nodes
	case Signal, Query, Here, Sent, Exited, Killed, Stopped, Failed, Waiting, Closed:
	default:
		return Header{}, fmt.Errorf("frame type %d: unknown", b[3])
	}
	if n > limit {
		return Header{}, fmt.Errorf("%v frame: %d bytes, at most %d", h.Type, n, limit)
	}
	h.Len = int(n)
	return h, nil
}

func appendHeader(dst []byte, t FrameType, n int) []byte {
	dst = le.AppendUint16(dst, magic)
	dst = append(dst, version, byte(t))
	return le.AppendUint32(dst, uint32(n))
}

// AppendText appends a frame whose body is text: HERE, SENT, WAITING, QUERY, REPLY.
func AppendText(dst []byte, t FrameType, text string) []byte {
	dst = appendHeader(dst, t, len(text))
	return append(dst, text...)
}

// AppendNumber appends a frame whose body is one number: EXITED, KILLED, STOPPED, CLOSED.
func AppendNumber(dst []byte, t FrameType, n uint32) []byte {
	return le.AppendUint32(appendHeader(dst, t, 4), n)
}

// AppendFailed appends a FAILED frame: what the stub exits with, and its last line.
func AppendFailed(dst []byte, status int, text string) []byte {
	dst = le.AppendUint32(appendHeader(dst, Failed, 4+len(text)), uint32(status))
	return append(dst, text...)
}

// AppendExec appends an EXEC frame around an exec body.
func AppendExec(dst, body []byte) []byte {
	return append(appendHeader(dst, Exec, len(body)), body...)
}

// SignalBody is a signal that the stub got.
type SignalBody struct {
	Number syscall.Signal
	Group  bool // the terminal sent it to the whole process group
}

// ParseSignal reads the body of a SIGNAL frame. The number is 0 where a stub says that it has printed its line.
func ParseSignal(b []byte) (SignalBody, error) {
	if len(b) != 8 {
		return SignalBody{}, fmt.Errorf("SIGNAL frame: %d bytes, must be 8", len(b))
	}
	n, scope := le.Uint32(b), le.Uint32(b[4:])
	if n > 64 || scope > 1 || n == 0 && scope != 0 {
		return SignalBody{}, fmt.Errorf("SIGNAL frame: signal %d, scope %d", n, scope)
	}
	return SignalBody{syscall.Signal(n), scope == 1}, nil
}

// AppendSignal appends a SIGNAL frame.
func AppendSignal(dst []byte, s SignalBody) []byte {
	dst = le.AppendUint32(appendHeader(dst, Signal, 8), uint32(s.Number))
	var scope uint32
	if s.Group {
		scope = 1
	}
	return le.AppendUint32(dst, scope)
}
