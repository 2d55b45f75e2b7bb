package daemon

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"mexec/internal/descriptor"
	"mexec/internal/relay"
	"mexec/internal/wire"
	"mexec/internal/wire/mexecpb"
)

// The home side of relayed descriptors above 2. Each has its own goroutines and credits in both ways: of several, one that stands must not
// stop another, as programs talk over two pipes in turns.

// streamWindow is how much of a job's output to a descriptor above 2 may be on its way.
const streamWindow = 64 << 10

// stream is one of them.
type stream struct {
	r      *remote
	number uint32
	twins  []uint32 // higher numbers of the same open file
	fd     int
	source *relay.Source // nil: the job can't read it
	sink   *relay.Sink   // nil: it can't write to it
	credit *credit
	stop   context.CancelFunc
	reader sync.WaitGroup
	owner  sync.WaitGroup
	read   int64 // of the caller's, in all; read after reader

	in   *inbox
	shut atomic.Bool // the job has closed it
	over atomic.Bool // nothing more will come
}

// openStreams makes the streams of a job that was sent. Nothing is read before the worker gives credit.
func (r *remote) openStreams() {
	for _, route := range r.routes {
		switch route.Way {
		case descriptor.Same:
			if s := r.streams[uint32(route.Same)]; s != nil {
				s.twins = append(s.twins, uint32(route.Number))
				r.streams[uint32(route.Number)] = s
			}
		case descriptor.Stream:
			s := &stream{
				r: r, number: uint32(route.Number), fd: r.descriptors().FDs[route.Number],
				credit: newCredit(0), in: newInbox(streamWindow),
			}
			var ctx context.Context
			ctx, s.stop = context.WithCancel(r.ctx)
			if route.Read {
				s.source = relay.NewSource(s.fd)
			}
			if route.Write {
				s.sink = relay.NewSink(s.fd)
			}
			if r.streams == nil {
				r.streams = map[uint32]*stream{}
			}
			r.streams[s.number] = s
			s.start(ctx)
		}
	}
}

func (s *stream) start(ctx context.Context) {
	if s.source != nil {
		s.reader.Add(1)
		s.r.d.wg.Go(func() {
			defer s.reader.Done()
			s.read = pump(ctx, s.source, s.credit, make([]byte, relay.Page), func(b []byte, eof bool) error {
				return s.send(&mexecpb.Data{Bytes: b, Eof: eof})
			})
		})
	}
	s.owner.Add(1)
	s.r.d.wg.Go(func() {
		defer s.owner.Done()
		s.serve(ctx)
	})
}

func (s *stream) send(d *mexecpb.Data) error {
	d.Number = s.number
	return s.r.send(&mexecpb.Up{Data: d})
}

// pump reads from the caller as far as there is credit, and sends it. It returns how much it was.
func pump(ctx context.Context, from *relay.Source, c *credit, buf []byte, send func(b []byte, eof bool) error) (read int64) {
	for {
		most, ok := c.wait(ctx)
		if !ok {
			return read
		}
		n, err := from.Read(ctx, buf[:min(most, len(buf))])
		if ctx.Err() != nil && n == 0 {
			return read
		}
		c.spend(n)
		read += int64(n)
		if send(buf[:n], err != nil) != nil || err != nil {
			return read
		}
	}
}

var errTooMuch = errors.New("the worker sent more than it had credit for")

// take enters what the worker says.
func (s *stream) take(d *mexecpb.Data) error {
	s.credit.give(int(d.Credit))
	if !s.in.put(d.Bytes, d.Eof) {
		return errTooMuch
	}
	if d.Closed {
		s.shut.Store(true)
		s.in.wake()
	}
	return nil
}

// serve gives the caller what the job has written, and lets go of the descriptor when the job has: who waits for the end of a pipe
// waits for all who have it open.
func (s *stream) serve(ctx context.Context) {
	var told bool
	for {
		select {
		case <-s.in.news:
		case <-ctx.Done():
			return
		}
		shut, over := s.shut.Load(), s.over.Load() // looked at first: what came before them is then in the inbox
		in, eof := s.in.all()
		if len(in) > 0 && s.sink != nil {
			s.sink.Write(ctx, in)
			if s.sink.Broken() && !told {
				told = true
				s.send(&mexecpb.Data{Broken: true})
			}
			s.send(&mexecpb.Data{Credit: uint32(len(in))})
		}
		if eof && s.sink != nil {
			unix.Shutdown(s.fd, unix.SHUT_WR)
		}
		switch {
		case shut:
			s.letGo()
			return
		case over:
			return
		}
	}
}

// letGo closes the descriptor here and at the stub.
func (s *stream) letGo() {
	s.stop()
	s.reader.Wait()
	s.close()
	for _, n := range append(s.twins, s.number) {
		s.r.letGoOf(n)
		s.r.conn.Write(wire.AppendNumber(nil, wire.Closed, n))
	}
}

func (s *stream) close() {
	if s.source != nil {
		s.source.Close()
	}
	if s.sink != nil {
		s.sink.Close()
	}
}

// flushStreams returns when the caller has all that the job has written.
func (r *remote) flushStreams() {
	for _, s := range r.streams {
		s.over.Store(true)
		s.in.wake()
	}
	for _, s := range r.streams {
		s.owner.Wait()
	}
}

// closeStreams ends what is under way.
func (r *remote) closeStreams() {
	for _, s := range r.streams {
		s.stop()
		s.owner.Wait()
		s.reader.Wait()
		s.close()
	}
	r.streams = nil
}

// letGoOf closes one of the caller's descriptors before the others.
func (c *caller) letGoOf(number uint32) {
	i := slices.Index(c.exec.Descriptors, number)
	if i < 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := slices.Index(c.held, c.above[i]); at >= 0 {
		unix.Close(c.above[i])
		c.held = slices.Delete(c.held, at, at+1)
	}
}
