package link

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"mexec"
	"mexec/internal/place"
	"mexec/internal/wire/mexecpb"
)

// A network that takes nothing any more. gRPC lets a send wait for room without end, and says goodbye before it closes a connection: none of that may make
// a link or a job outlive the keep-alive time.

const jamLife = time.Second

// jammable is a link that stands, over a network that can be jammed.
func jammable(t *testing.T, job func(mexecpb.Node_RunServer)) (*wired, *valve) {
	t.Helper()
	w := connect(t, jamLife, 0)
	w.worker.jobs = func(_ context.Context, stream mexecpb.Node_RunServer) error {
		job(stream)
		w.worker.note("over")
		return nil
	}
	v := newValve(t, w.addr)
	w.pool.Want("worker", v.ln.Addr().String(), []place.Share{{UID: 1, Slots: 1}})
	until(t, w.home, "up worker")
	return w, v
}

// runJob starts a job, which the worker has got.
func (w *wired) runJob(t *testing.T) mexecpb.Node_RunClient {
	t.Helper()
	_, stream, err := w.pool.Run(t.Context(), "worker")
	if err == nil {
		err = stream.Send(&mexecpb.Up{Start: &mexecpb.Start{Job: 1}})
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, w.worker, "run 1")
	return stream
}

func inTime(t *testing.T, r *recorder, line string, since time.Time) {
	t.Helper()
	until(t, r, line)
	if took := time.Since(since); took > jamLife+time.Second {
		t.Errorf("%q after %v", line, took)
	}
}

func printsForEver(stream mexecpb.Node_RunServer) {
	for stream.Send(&mexecpb.Down{Out: make([]byte, Chunk)}) == nil {
	}
}

// It held its slot until TCP gave up, a quarter of an hour later.
func TestAJobWhoseOutputFindsNoRoomIsOverWithItsLink(t *testing.T) {
	w, v := jammable(t, printsForEver)
	w.runJob(t)
	v.jam()
	inTime(t, w.worker, "over", time.Now())
}

func TestSoIsOneOfAHomeThatCameAnew(t *testing.T) {
	w, v := jammable(t, printsForEver)
	w.runJob(t)
	v.jam()
	newer := NewPool(w.pool.cfg)
	newer.cfg.Home = homeSide{&recorder{}}
	defer newer.Close()
	newer.Want("worker", w.addr, []place.Share{{UID: 1, Slots: 1}})
	until(t, w.worker, "departed home")
	inTime(t, w.worker, "over", time.Now())
}

// gRPC's goodbye took 5 s more.
func TestJobsWhoseInputFindsNoRoomAreLostInTime(t *testing.T) {
	w, v := jammable(t, func(stream mexecpb.Node_RunServer) {
		for {
			if _, err := stream.Recv(); err != nil {
				return
			}
		}
	})
	for range 64 { // together more than the kernel takes for one connection
		stream := w.runJob(t)
		go func() {
			for stream.Send(&mexecpb.Up{Stdin: make([]byte, Chunk)}) == nil {
			}
		}()
		go func() {
			_, err := stream.Recv()
			w.home.note("lost: %v", err)
		}()
	}
	v.jam()
	begin := time.Now()
	inTime(t, w.home, "lost", begin)
	inTime(t, w.home, "down worker: "+errSilent.Error(), begin)
}

// Who sent them waited for room, and counted no silence meanwhile.
func TestNotesThatFindNoRoomDontKeepALinkUp(t *testing.T) {
	w, v := jammable(t, nil)
	v.jam()
	begin := time.Now()
	for n := 1; !w.home.has("down worker") && time.Since(begin) < 4*jamLife; n++ {
		var shares []place.Share
		for i := range 40 {
			shares = append(shares, place.Share{UID: 1, Build: mexec.BuildID(fmt.Sprint("the build of user ", i)), Slots: n})
		}
		w.pool.Want("worker", "", shares)
		time.Sleep(time.Millisecond)
	}
	inTime(t, w.home, "down worker: "+errSilent.Error(), begin)
}

// gRPC makes a new connection as soon as something is to be sent. The worker would run a job there that home takes for lost a moment later.
func TestNothingIsSentForALinkWhoseConnectionIsLost(t *testing.T) {
	w, v := jammable(t, func(stream mexecpb.Node_RunServer) { stream.Recv() })
	w.pool.mu.Lock() // home has not heard of it yet
	l := w.pool.links["worker"]
	v.mu.Lock()
	for _, c := range v.conn {
		c.Close()
	}
	v.mu.Unlock()
	until(t, w.worker, "departed home")
	stream, err := l.run.Run(t.Context())
	if err == nil {
		err = stream.Send(&mexecpb.Up{Start: &mexecpb.Start{Job: 1}})
		_, rerr := stream.Recv()
		err = errors.Join(err, rerr)
	}
	w.pool.mu.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.conn) > 2 {
		t.Errorf("connected again; the job: %v", err)
	}
}
