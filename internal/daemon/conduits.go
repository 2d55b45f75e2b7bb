package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mexec/internal/demand"
	"mexec/internal/descriptor"
	"mexec/internal/link"
	"mexec/internal/relay"
	"mexec/internal/spawn"
	"mexec/internal/wire"
	"mexec/internal/wire/mexecpb"
)

// The worker side of a job's descriptors above 2: files for its stage, and conduits, which are the other ends of what home relays.

// conduit is one of them.
type conduit struct {
	g      *guest
	number uint32
	*relay.Stream
	reads, writes bool // what the job can do

	theirs demand.File   // the job's end
	wanted chan struct{} // closed when the job waits to read for the first time
	once   sync.Once     // closes it
	in     *inbox        // what comes from home
	credit *credit       // for what goes there
	dry    chan struct{} // closed when the job will write no more
}

// equip makes the job's descriptors above 2. The files that it returns are to be closed when the job has them. ends are those of
// the job's jobserver.
func (g *guest) equip(job *spawn.Job, start *mexecpb.Start, ends [2]*os.File) (theirs []*os.File, err error) {
	for _, d := range start.Descriptors {
		to := spawn.Descriptor{Number: d.Number, Nonblock: d.Flags&unix.O_NONBLOCK != 0}
		switch {
		case d.File != nil:
			to.Opened = opened(d)
		case d.Same != nil:
			to.Same = *d.Same
		case d.Supplied:
			if to.Attached = supply(d, start.Jobserver, ends); to.Attached == nil {
				err = fmt.Errorf("descriptor %d: %w", d.Number, errUnsupplied)
			}
		default:
			if to.Attached, err = g.connect(d); err == nil {
				theirs = append(theirs, to.Attached)
			}
		}
		if err != nil {
			return theirs, err
		}
		job.Descriptors = append(job.Descriptors, to)
	}
	return theirs, nil
}

var errUnsupplied = errors.New("nothing here supplies it")

// complete says whether a list has the descriptors that the caller has, and besides them at most descriptor 0.
func complete(numbers []uint32, list []*mexecpb.Descriptor) error {
	if len(list) > 0 && list[0].Number == 0 && list[0].File != nil {
		list = list[1:]
	}
	if !slices.EqualFunc(numbers, list, func(n uint32, d *mexecpb.Descriptor) bool { return n == d.Number }) {
		return errors.New("start: other descriptors than the caller's")
	}
	for i, d := range list {
		lower := func(l *mexecpb.Descriptor) bool { return d.Same != nil && l.Number == *d.Same }
		if d.Same != nil && *d.Same > 2 && !slices.ContainsFunc(list[:i], lower) {
			return fmt.Errorf("start: descriptor %d is the same as %d, which is none", d.Number, *d.Same)
		}
	}
	return nil
}

// opened is what the stage is to open. Whatever a home asks for, nothing is made or cut by opening it.
func opened(d *mexecpb.Descriptor) *spawn.File {
	const allowed = unix.O_ACCMODE | unix.O_APPEND | unix.O_NONBLOCK | unix.O_DIRECT | unix.O_NOATIME | unix.O_SYNC | unix.O_DIRECTORY | unix.O_LARGEFILE
	f := d.File
	return &spawn.File{
		Path: string(f.Path), Flags: d.Flags & allowed, Mode: f.Mode, Rdev: f.Rdev, Offset: f.Offset,
		Seen: spawn.Seen{
			Dev: f.Dev, Ino: f.Ino, FS: f.Fs,
			Ctime: wire.Time{Sec: f.CtimeSec, Nsec: f.CtimeNsec}, Taken: wire.Time{Sec: f.TakenSec, Nsec: f.TakenNsec},
		},
	}
}

// connect makes a conduit, and returns the job's end of it.
func (g *guest) connect(d *mexecpb.Descriptor) (*os.File, error) {
	c := &conduit{
		g: g, number: d.Number,
		reads: d.Stream != mexecpb.Stream_STREAM_WRITE, writes: d.Stream == mexecpb.Stream_STREAM_WRITE || d.Stream == mexecpb.Stream_STREAM_SOCKET,
		wanted: make(chan struct{}), in: newInbox(relay.Page), credit: newCredit(streamWindow), dry: make(chan struct{}),
	}
	var theirs *os.File
	var err error
	if c.Stream, theirs, err = relay.NewStream(c.reads, c.writes); err != nil {
		return nil, err
	}
	if g.conduits == nil {
		g.conduits = map[uint32]*conduit{}
	}
	g.conduits[d.Number] = c
	// A program that does not block when it reads is not seen to wait. But what somebody keeps in a pipe whose two ends he hands on are tokens, like
	// those of a jobserver that is the job's no more (make 4.3 leaves it open): they are missed at home as long as they are here.
	if c.theirs.Inode, err = descriptor.Inode(theirs); err != nil || d.Flags&unix.O_NONBLOCK != 0 && d.Stream != mexecpb.Stream_STREAM_POOL {
		c.want()
	}
	return theirs, nil
}

func (c *conduit) want() { c.once.Do(func() { close(c.wanted) }) }

func (c *conduit) send(d *mexecpb.Data) error {
	d.Number = c.number
	return c.g.send(&mexecpb.Down{Data: d})
}

// take enters what home says. false: it is more than it had credit for.
func (c *conduit) take(d *mexecpb.Data) bool {
	c.credit.give(int(d.Credit))
	if d.Broken {
		c.Broken()
	}
	return c.in.put(d.Bytes, d.Eof)
}

// serveConduits serves them until the job has ended; what it has written is drained then, and finish ends the rest.
func (g *guest) serveConduits(ctx context.Context) (finish func()) {
	if len(g.conduits) == 0 {
		return func() {}
	}
	ctx, stop := context.WithCancel(ctx)
	var rest sync.WaitGroup
	for _, c := range g.conduits {
		if c.reads {
			rest.Go(func() { c.feed(ctx) })
			rest.Go(func() { c.watch() })
		}
		if c.writes {
			g.output.Go(func() { c.drain(ctx) })
		} else {
			close(c.dry)
		}
	}
	rest.Go(func() { g.seeDemand(ctx) })
	return func() {
		stop()
		for _, c := range g.conduits {
			c.Close()
		}
		rest.Wait()
	}
}

// seeDemand looks which of the streams the job waits for. Nothing is taken from the caller before.
func (g *guest) seeDemand(ctx context.Context) {
	demand.Watch(ctx, nil, func(time.Duration) (found, enough bool) {
		var unwanted []demand.File
		for _, c := range g.conduits {
			select {
			case <-c.wanted:
			default:
				if c.reads {
					unwanted = append(unwanted, c.theirs)
				}
			}
		}
		if len(unwanted) == 0 {
			return false, true
		}
		waited := demand.Waited(g.proc.Pids(), unwanted...)
		for _, c := range g.conduits {
			if waited[c.theirs] != 0 {
				c.want()
			}
		}
		return false, false
	})
}

// feed gives the job what comes from home, a page ahead of it.
func (c *conduit) feed(ctx context.Context) {
	select {
	case <-c.wanted:
	case <-ctx.Done():
		return
	}
	credit := relay.Page
	for {
		if credit > 0 && c.send(&mexecpb.Data{Credit: uint32(credit)}) != nil {
			return
		}
		in, eof, ok := c.in.take(ctx.Done())
		if !ok {
			return
		}
		if credit = len(in); credit > 0 && c.Feed(in) != nil {
			return // the job has closed it or is gone
		}
		if eof {
			c.Finish()
			return
		}
	}
}

// watch tells home when the job has closed what it reads.
func (c *conduit) watch() {
	<-c.dry
	if c.Closed() {
		c.send(&mexecpb.Data{Closed: true})
	}
}

// drain sends what the job writes, as far as home has given credit.
func (c *conduit) drain(ctx context.Context) {
	defer close(c.dry)
	buf := buffers.Get().(*[link.Chunk]byte)
	defer buffers.Put(buf)
	for {
		most, ok := c.credit.wait(ctx)
		if !ok {
			return
		}
		n, err := c.Read(buf[:min(most, link.Chunk)])
		c.credit.spend(n)
		if n > 0 && c.send(&mexecpb.Data{Bytes: buf[:n]}) != nil {
			c.Close()
			return
		}
		switch {
		case !errors.Is(err, io.EOF):
		case !c.reads:
			c.send(&mexecpb.Data{Closed: true})
		case demand.Held(c.g.proc.Pids(), c.theirs): // shut down that way, and not closed: else watch tells
			c.send(&mexecpb.Data{Eof: true})
		}
		if err != nil {
			return
		}
	}
}
