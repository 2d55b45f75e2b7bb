package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mexec"
	"mexec/internal/place"
	"mexec/internal/pulse"
	"mexec/internal/wire/mexecpb"
)

// Home is who uses the links to the workers.
type Home interface {
	LinkUp(node mexec.NodeID, offset time.Duration)
	Granted(node mexec.NodeID, offer place.Offer)
	Recalled(node mexec.NodeID, ids []place.Grant)
	Beat(node mexec.NodeID, offset time.Duration, load *mexecpb.Load)
	// LinkDown: what was said on the link is void, the jobs on it are lost. A cause of nil is an idle link that was closed.
	LinkDown(node mexec.NodeID, cause error)
}

// PoolConfig is what a Pool stands on.
type PoolConfig struct {
	Self      Self
	Creds     func(mexec.NodeID) Credentials
	KeepAlive time.Duration
	Now       func() time.Time
	Home      Home
}

// dialTime bounds how long a node that answers nothing can hold a job up.
const dialTime = time.Second

// idleTime is how long a link without use is kept: N nodes should not end in N² connections.
const idleTime = 5 * time.Minute

// Pool is the home side: the links from this node to its workers.
type Pool struct {
	cfg    PoolConfig
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	links map[mexec.NodeID]*Link
	tried map[mexec.NodeID]time.Time // when Successor has dialled
}

// NewPool returns a pool without links.
func NewPool(cfg PoolConfig) *Pool {
	ctx, cancel := context.WithCancel(context.Background())
	return &Pool{cfg: cfg, ctx: ctx, cancel: cancel, links: map[mexec.NodeID]*Link{}, tried: map[mexec.NodeID]time.Time{}}
}

// Close ends all links and waits for them.
func (p *Pool) Close() {
	p.cancel()
	p.wg.Wait()
}

// Link is one link to a worker.
type Link struct {
	node mexec.NodeID
	conn *grpc.ClientConn
	run  mexecpb.NodeClient
	out  *box[homeNotes]

	Turns Turns // of what its jobs have written

	up, down chan struct{} // closed when it stands, and when it has ended

	mu    sync.Mutex
	tcp   net.Conn      // nil: not dialled yet
	life  time.Duration // the worker's keep-alive time
	cause error
	used  time.Time
	jobs  int
}

type homeNotes struct {
	want    *mexecpb.Want
	returns []place.Grant
}

// Want says how many slots the worker should let us hold, and for whom. Where no link stands one is made; LinkUp or LinkDown will follow,
// and it is for LinkUp to say the want again.
func (p *Pool) Want(node mexec.NodeID, addr string, shares []place.Share) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.links[node]
	if l == nil {
		if len(shares) > 0 && p.ctx.Err() == nil {
			p.dialLocked(node, addr)
		}
		return
	}
	l.out.put(func(n *homeNotes) { n.want = wantOf(shares) })
}

// Return gives grants back.
func (p *Pool) Return(node mexec.NodeID, ids []place.Grant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.links[node]; l != nil {
		l.out.put(func(n *homeNotes) { n.returns = append(n.returns, ids...) })
	}
}

// ErrNoLink says that the link on which a grant came is gone: nothing was sent.
var ErrNoLink = errors.New("the link is gone")

// Run opens the stream of a job. Nothing has been sent when it returns. The caller calls Done when the job has ended.
func (p *Pool) Run(ctx context.Context, node mexec.NodeID) (*Link, mexecpb.Node_RunClient, error) {
	p.mu.Lock()
	l := p.links[node]
	p.mu.Unlock()
	if l == nil {
		return nil, nil, ErrNoLink
	}
	stream, err := l.run.Run(ctx)
	if err != nil {
		return nil, nil, ErrNoLink
	}
	l.mu.Lock()
	l.jobs++
	l.mu.Unlock()
	return l, stream, nil
}

// Done says that a job of this link has ended.
func (l *Link) Done(now time.Time) {
	l.mu.Lock()
	l.jobs--
	l.used = now
	l.mu.Unlock()
}

// Cause explains an error of a job's stream: what ended the link, if that did, or else the error itself in plain words.
func (l *Link) Cause(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return l.cause
	}
	return plain(err)
}

func (p *Pool) dialLocked(node mexec.NodeID, addr string) {
	l := &Link{
		node: node, out: newBox[homeNotes](), used: p.cfg.Now(), life: p.cfg.KeepAlive,
		up: make(chan struct{}), down: make(chan struct{}),
	}
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(p.cfg.Creds(node)),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithDisableRetry(), // a job is sent at most once
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithContextDialer(l.dial),
	)
	l.conn = conn
	p.links[node] = l
	p.wg.Go(func() {
		if err == nil {
			l.run = mexecpb.NewNodeClient(conn)
			err = p.serve(l)
		}
		l.mu.Lock()
		l.cause = err
		l.mu.Unlock()
		p.mu.Lock()
		delete(p.links, node)
		p.mu.Unlock()
		l.hangUp()
		if conn != nil {
			conn.Close()
		}
		close(l.down)
		if p.ctx.Err() == nil {
			p.cfg.Home.LinkDown(node, err)
		}
	})
}

// dial makes the connection, once. Where it is lost gRPC asks for another as soon as something is to be sent, which would go to a worker that has no link of ours.
func (l *Link) dial(ctx context.Context, addr string) (net.Conn, error) {
	l.mu.Lock()
	again := l.tcp != nil
	l.mu.Unlock()
	if again {
		return nil, ErrNoLink
	}
	c, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "tcp", addr)
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0) // what is unsent when we close it must not be sent: see Successor
		l.mu.Lock()
		l.tcp = tcp
		l.mu.Unlock()
	}
	return c, err
}

// hangUp closes the connection. gRPC would say goodbye first, and give a network that takes nothing 5 s for that, in which the jobs seem to live.
func (l *Link) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tcp != nil {
		l.tcp.Close()
	}
}

// serve keeps one link until it ends, and says why it did.
func (p *Pool) serve(l *Link) error {
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	// The deadline ends with the first note that is heard.
	giveUp := time.AfterFunc(2*dialTime, func() { cancel(nil) })
	stream, err := l.run.Link(ctx)
	if err != nil {
		return p.dialCause(ctx, err)
	}
	clk := &clock{now: p.cfg.Now}
	if err := stream.Send(&mexecpb.FromHome{Hello: p.cfg.Self.hello(p.cfg.KeepAlive), Beat: clk.beat()}); err != nil {
		_, err = stream.Recv()
		return p.dialCause(ctx, err)
	}
	first, err := stream.Recv()
	if !giveUp.Stop() || err != nil {
		return p.dialCause(ctx, err)
	}
	if first.Hello == nil || mexec.NodeID(first.Hello.Name) != l.node || first.Beat == nil {
		return fmt.Errorf("%s answers as %q", l.node, first.GetHello().GetName())
	}
	clk.hear(first.Beat)
	offset, _ := clk.offset()
	l.stands(first.Hello)
	p.cfg.Home.LinkUp(l.node, offset)

	var ears listener
	gone := make(chan error, 1) // its sender ends when ctx does
	p.wg.Go(func() {
		receive(stream.Recv, &ears, func(note *mexecpb.FromWorker) { p.hear(l, clk, note) }, gone)
	})
	p.wg.Go(func() { ears.mind(ctx, p.cfg.KeepAlive, func() { cancel(errSilent) }) })
	ended := func(err error) error {
		switch {
		case context.Cause(ctx) == errSilent:
			return errSilent
		case ctx.Err() != nil:
			return errors.New("this node is stopping")
		}
		return plain(err)
	}
	beats := pulse.Every(pace(p.cfg.KeepAlive, first.Hello.KeepaliveMs))
	defer beats.Stop()
	for {
		note := &mexecpb.FromHome{}
		select {
		case err := <-gone: // also when ctx has ended
			return ended(err)
		case <-beats.C:
			beats.Again()
			if l.idle(p.cfg.Now()) {
				return nil
			}
			note.Beat = clk.beat()
		case <-l.out.kick:
			out, ok := l.out.take()
			if !ok {
				continue
			}
			note.Want, note.Return = out.want, numbers(out.returns)
			if out.want.GetSlots() > 0 {
				l.touch(p.cfg.Now())
			}
		}
		if err := stream.Send(note); err != nil {
			return ended(<-gone)
		}
	}
}

func (p *Pool) hear(l *Link, clk *clock, note *mexecpb.FromWorker) {
	if note.Beat != nil {
		clk.hear(note.Beat)
		offset, _ := clk.offset()
		p.cfg.Home.Beat(l.node, offset, note.Load)
	}
	for _, g := range note.Grants {
		p.cfg.Home.Granted(l.node, offerOf(g))
	}
	if len(note.Recall) > 0 {
		p.cfg.Home.Recalled(l.node, grants(note.Recall))
	}
}

func (l *Link) touch(now time.Time) {
	l.mu.Lock()
	l.used = now
	l.mu.Unlock()
}

func (l *Link) idle(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.jobs == 0 && now.Sub(l.used) > idleTime
}

// dialCause words why no link could be made.
func (p *Pool) dialCause(ctx context.Context, err error) error {
	if ctx.Err() != nil && p.ctx.Err() == nil {
		return errors.New("no answer")
	}
	return plain(err)
}

// plain takes gRPC's wrapping off an error.
func plain(err error) error {
	st, ok := status.FromError(err)
	if !ok || err == nil {
		return err
	}
	text := st.Message()
	for _, wrap := range []string{"connection error: desc = ", "transport: Error while dialing: ", "transport: authentication handshake failed: ", "error reading from server: "} {
		if _, inner, ok := strings.Cut(text, wrap); ok {
			text = strings.Trim(inner, `"`)
		}
	}
	if text == "EOF" || st.Code() == codes.Unavailable && text == "" {
		text = "the other side hung up"
	}
	return errors.New(text)
}
