package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"mexec"
	"mexec/internal/ident"
	"mexec/internal/place"
	"mexec/internal/pulse"
	"mexec/internal/wire/mexecpb"
)

// Worker is who serves the homes that come in over the links.
type Worker interface {
	Arrived(s *Session)
	Wanted(s *Session, shares []place.Share)
	Returned(s *Session, ids []place.Grant)
	// Departed: the link is gone. The jobs of the session are being killed; their Run calls return by themselves.
	Departed(s *Session)
	// Run serves one job, and returns when nothing of it is left.
	Run(ctx context.Context, s *Session, start *mexecpb.Start, stream mexecpb.Node_RunServer) error
	Load() *mexecpb.Load
}

// Session is one home at its worker, from its Link stream's begin to its end.
type Session struct {
	Home       mexec.NodeID
	SameKernel bool
	Written    uint64 // numbers what its jobs write: relay.Arrivals'

	ctx context.Context // ends with the link
	end context.CancelFunc
	out *box[workerNotes]
}

type workerNotes struct {
	grants  []*mexecpb.Grant
	recalls []place.Grant
}

// Grant tells the home of grants; Recall asks for some back. Neither waits.
func (s *Session) Grant(o place.Offer) {
	g := &mexecpb.Grant{Ids: numbers(o.Grants), LeaseMs: uint32(o.Lease.Milliseconds()), Memory: uint64(o.Memory)}
	s.out.put(func(n *workerNotes) { n.grants = append(n.grants, g) })
}

func (s *Session) Recall(ids []place.Grant) {
	s.out.put(func(n *workerNotes) { n.recalls = append(n.recalls, ids...) })
}

// ServerConfig is what a Server stands on.
type ServerConfig struct {
	Self      Self
	Creds     Credentials
	KeepAlive time.Duration
	Now       func() time.Time
	Worker    Worker
	Log       *slog.Logger
}

// Server is the worker side of all links.
type Server struct {
	mexecpb.UnimplementedNodeServer
	cfg  ServerConfig
	grpc *grpc.Server

	ctx  context.Context
	end  context.CancelFunc
	ears sync.WaitGroup

	mu       sync.Mutex
	sessions map[mexec.NodeID]*Session
}

// streamWorkers serve jobs one after the other on stacks that have grown already; more jobs at once get a goroutine each.
const streamWorkers = 16

// NewServer returns a server that does nothing until Serve.
func NewServer(cfg ServerConfig) *Server {
	s := &Server{cfg: cfg, sessions: map[mexec.NodeID]*Session{}}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.grpc = grpc.NewServer(
		grpc.Creds(lines{cfg.Creds}),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connWindow),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.WaitForHandlers(true),
		grpc.NumStreamWorkers(streamWorkers),
	)
	mexecpb.RegisterNodeServer(s.grpc, s)
	return s
}

// Serve takes connections until Close.
func (s *Server) Serve(ln net.Listener) error { return s.grpc.Serve(ln) }

// Close ends every link and waits until all their jobs are gone.
func (s *Server) Close() {
	s.grpc.Stop()
	s.end()
	s.ears.Wait()
}

// line is a connection that has come in. gRPC names who is at its other end and has no word to end it.
type line struct {
	credentials.TLSInfo
	conn net.Conn
}

// lines are credentials that keep the connection with what they have found out.
type lines struct{ Credentials }

func (l lines) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := l.Credentials.ServerHandshake(raw)
	if tls, ok := info.(credentials.TLSInfo); ok {
		info = line{tls, raw}
	}
	return conn, info, err
}

// home names the node at the other end of a call.
func home(ctx context.Context) (mexec.NodeID, line, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", line{}, status.Error(codes.Unauthenticated, "no peer")
	}
	from, ok := p.AuthInfo.(line)
	if !ok {
		return "", line{}, status.Error(codes.Unauthenticated, "no certificate")
	}
	id, err := ident.PeerID(from.State)
	if err != nil {
		return "", line{}, status.Error(codes.Unauthenticated, err.Error())
	}
	return id, from, nil
}

// Link serves the notes of one home.
func (s *Server) Link(stream mexecpb.Node_LinkServer) error {
	id, from, err := home(stream.Context())
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.Hello == nil {
		return status.Error(codes.InvalidArgument, "link: the first note is no hello")
	}
	ctx, end := context.WithCancel(stream.Context())
	defer end()
	ses := &Session{
		Home:       id,
		SameKernel: first.Hello.Boot != "" && first.Hello.Boot == s.cfg.Self.Boot,
		ctx:        ctx, end: end, out: newBox[workerNotes](),
	}
	clk := &clock{now: s.cfg.Now}
	var ears listener

	// A home that comes anew has forgotten its former life; what still runs of that is killed.
	s.mu.Lock()
	old := s.sessions[id]
	s.sessions[id] = ses
	s.mu.Unlock()
	if old != nil {
		old.end()
	}
	s.cfg.Worker.Arrived(ses)
	defer func() {
		s.mu.Lock()
		if s.sessions[id] == ses {
			delete(s.sessions, id)
		}
		s.mu.Unlock()
		s.cfg.Worker.Departed(ses)
	}()

	s.hear(ses, clk, first)
	hello := &mexecpb.FromWorker{Hello: s.cfg.Self.hello(s.cfg.KeepAlive), Load: s.cfg.Worker.Load(), Beat: clk.beat()}
	if err := stream.Send(hello); err != nil {
		return err
	}
	gone := make(chan error, 1) // its sender ends when this handler has: Recv fails then
	go receive(stream.Recv, &ears, func(note *mexecpb.FromHome) { s.hear(ses, clk, note) }, gone)
	// It goes on when this link has ended: whatever waits for room on the connection then is a job's, and would hold its slot for as long as TCP has hope.
	s.ears.Go(func() {
		ears.mind(s.ctx, s.cfg.KeepAlive, func() {
			if ctx.Err() == nil {
				s.cfg.Log.Warn(fmt.Sprintf("link %s: lost: %v", id, errSilent))
			}
			from.conn.Close()
		})
	})
	beats := pulse.Every(pace(s.cfg.KeepAlive, first.Hello.KeepaliveMs))
	defer beats.Stop()
	for {
		note := &mexecpb.FromWorker{}
		select {
		case err := <-gone:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case <-ctx.Done():
			return status.Error(codes.Aborted, "a newer link of the same node")
		case <-beats.C:
			beats.Again()
			note.Beat, note.Load = clk.beat(), s.cfg.Worker.Load()
		case <-ses.out.kick:
			out, ok := ses.out.take()
			if !ok {
				continue
			}
			note.Grants, note.Recall = out.grants, numbers(out.recalls)
		}
		if err := stream.Send(note); err != nil {
			return err
		}
	}
}

// hear takes one note of the home in. The lowered want comes first: what is given back must not be granted anew.
func (s *Server) hear(ses *Session, clk *clock, note *mexecpb.FromHome) {
	if note.Beat != nil {
		clk.hear(note.Beat)
	}
	if note.Want != nil {
		s.cfg.Worker.Wanted(ses, sharesOf(note.Want))
	}
	if len(note.Return) > 0 {
		s.cfg.Worker.Returned(ses, grants(note.Return))
	}
}

// Run serves one job.
func (s *Server) Run(stream mexecpb.Node_RunServer) error {
	id, _, err := home(stream.Context())
	if err != nil {
		return err
	}
	up, err := stream.Recv()
	if err != nil {
		return err
	}
	if up.Start == nil {
		return status.Error(codes.InvalidArgument, "run: the first message is no start")
	}
	s.mu.Lock()
	ses := s.sessions[id]
	s.mu.Unlock()
	if ses == nil {
		return stream.Send(&mexecpb.Down{Refused: &mexecpb.Refused{Why: mexecpb.Refused_NO_GRANT, Detail: "no link"}})
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(ses.ctx, cancel)()
	return s.cfg.Worker.Run(ctx, ses, up.Start, stream)
}
