// Package link is the connection between two nodes: gRPC over mutual TLS 1.3, one per ordered pair, dialled when it is first needed.
// On it runs one Link stream, of beats, wants and grants, and one Run stream a job.
//
// The home side is Pool, the worker side is Server. Both learn within the keep-alive time that the other is gone, whatever the
// network does: a side that has heard nothing for that long ends the connection, and with it every job on it. gRPC's own keep-alive
// was refused: its client allows none below 10 s, and beats are needed anyway for the clock.
//
// Events are delivered from the goroutines of the link and must not block; events of one link come in order. Whoever sends notes
// (Want, Grant …) never waits: they are kept until the stream takes them, wants as their last value only.
package link

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"

	"mexec"
	"mexec/internal/place"
	"mexec/internal/pulse"
	"mexec/internal/wire/mexecpb"
)

// Self is what a node says of itself when a link stands.
type Self struct {
	Name mexec.NodeID
	Boot string // of its kernel
	Arch string
}

func (s Self) hello(keepAlive time.Duration) *mexecpb.Hello {
	return &mexecpb.Hello{Name: string(s.Name), Boot: s.Boot, Version: mexec.Version, Arch: s.Arch, KeepaliveMs: uint32(keepAlive.Milliseconds())}
}

const (
	// Windows are fixed: a set size switches off gRPC's tuner, which lets each paused stream grow to megabytes.
	streamWindow = 256 << 10
	connWindow   = 64 << 20
	maxMessage   = 16 << 20 // an exec body is 8 MiB at most

	// Chunk is the most data in one message: gRPC's buffer pool jumps from 32 KiB to 1 MiB.
	Chunk = 32<<10 - 64
)

// beatsPerLife is how many beats fit into a keep-alive time: losing one or two to a busy machine ends nothing.
const beatsPerLife = 5

// shortest is the least keep-alive time that another node's beats are sent for.
const shortest = 100 * time.Millisecond

// pace is how often this side sends a beat to one that waits for so many milliseconds, by its hello. Nodes may differ in that: whoever waits for a shorter time must hear as
// many in it.
func pace(keepAlive time.Duration, theirs uint32) time.Duration {
	if theirs > 0 {
		keepAlive = min(keepAlive, max(shortest, time.Duration(theirs)*time.Millisecond))
	}
	return keepAlive / beatsPerLife
}

// Credentials of one side of a link.
type Credentials = credentials.TransportCredentials

// box holds the notes that wait to be sent. Sending is level-triggered: a kick says that there is something.
type box[T any] struct {
	mu    sync.Mutex
	note  T
	dirty bool
	kick  chan struct{}
}

func newBox[T any]() *box[T] { return &box[T]{kick: make(chan struct{}, 1)} }

func (b *box[T]) put(change func(*T)) {
	b.mu.Lock()
	change(&b.note)
	b.dirty = true
	b.mu.Unlock()
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

// take returns what has gathered, or false.
func (b *box[T]) take() (note T, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	note, ok = b.note, b.dirty
	var empty T
	b.note, b.dirty = empty, false
	return note, ok
}

var errSilent = errors.New("nothing heard for the keep-alive time")

// listener watches that the other side is heard. It counts beats of silence by a ticker and not by the clock: when this process
// itself was stopped for a while, its ticker has not gone on either, and no healthy link is cut.
type listener struct {
	mu      sync.Mutex
	silence int
}

func (l *listener) heard() {
	l.mu.Lock()
	l.silence = 0
	l.mu.Unlock()
}

// tick says whether the silence has lasted a whole life. The first beat of it is counted whole, so that this comes up to a beat early:
// the keep-alive time is a promise of how long a job can outlive its network, and must not be exceeded.
func (l *listener) tick() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silence++
	return l.silence >= beatsPerLife
}

// mind calls hangUp when the silence has lasted a whole life, unless ctx ends before. Who sends the beats can't see to that: where the network takes
// nothing, a send has no end.
func (l *listener) mind(ctx context.Context, keepAlive time.Duration, hangUp func()) {
	beats := pulse.Every(keepAlive / beatsPerLife)
	defer beats.Stop()
	for {
		select {
		case <-beats.C:
			beats.Again()
		case <-ctx.Done():
			return
		}
		if l.tick() {
			hangUp()
			return
		}
	}
}

// receive takes notes in until the stream fails, and says why it did. Its caller runs it as a goroutine that ends with the stream.
func receive[T any](recv func() (T, error), ears *listener, hear func(T), gone chan<- error) {
	for {
		note, err := recv()
		if err != nil {
			gone <- err
			return
		}
		ears.heard()
		hear(note)
	}
}

func offerOf(g *mexecpb.Grant) place.Offer {
	return place.Offer{Grants: grants(g.Ids), Memory: Bytes(g.Memory), Lease: leaseOf(g.LeaseMs)}
}

func wantOf(shares []place.Share) *mexecpb.Want {
	w := &mexecpb.Want{}
	for _, s := range shares {
		w.Slots += uint32(s.Slots)
		w.Shares = append(w.Shares, &mexecpb.Share{Uid: s.UID, Build: string(s.Build), Slots: uint32(s.Slots), Memory: uint64(s.Memory)})
	}
	return w
}

// sharesOf reads a want. One that says for whom nothing is wanted is one of nobody.
func sharesOf(w *mexecpb.Want) []place.Share {
	if len(w.Shares) == 0 && w.Slots > 0 {
		return []place.Share{{UID: place.Nobody, Slots: Count(w.Slots)}}
	}
	var shares []place.Share
	for _, s := range w.Shares[:min(len(w.Shares), mostShares)] {
		shares = append(shares, place.Share{UID: s.Uid, Build: mexec.BuildID(s.Build), Slots: Count(s.Slots), Memory: Bytes(s.Memory)})
	}
	return shares
}

func grants(ids []uint64) []place.Grant {
	out := make([]place.Grant, len(ids))
	for i, id := range ids {
		out[i] = place.Grant(id)
	}
	return out
}

func numbers(ids []place.Grant) []uint64 {
	out := make([]uint64, len(ids))
	for i, id := range ids {
		out[i] = uint64(id)
	}
	return out
}

func leaseOf(ms uint32) time.Duration {
	return min(time.Duration(ms)*time.Millisecond, place.Lease)
}
