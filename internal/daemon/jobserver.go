package daemon

import (
	"fmt"
	"os"
	"path/filepath"

	"mexec/internal/jobserver"
	"mexec/internal/spawn"
	"mexec/internal/wire/mexecpb"
)

// The jobserver of a caller, and what its job has for it on the worker: package jobserver says how tokens travel. Here it is tied to the job's stream
// on both sides.

// tokens is the home's side: what a job borrows of its caller's jobserver.
type tokens struct {
	named *mexecpb.Jobserver // nil: the caller has none
	loan  *jobserver.Loan    // nil: nobody has opened the job's yet
}

// jobserver finds the jobserver that the job is to have. Nothing is opened for it yet: most commands never look at theirs.
func (c *caller) jobserver() *mexecpb.Jobserver {
	auth, ok := jobserver.Find(c.exec.Env)
	switch {
	case !ok:
		return nil
	case auth.Fifo != "":
		return &mexecpb.Jobserver{Fifo: auth.Fifo}
	case c.descriptor(auth.Read) < 0 || c.descriptor(auth.Write) < 0:
		return nil // make names its pipe in the environment of each command, and leaves it open for recursive lines only
	}
	return &mexecpb.Jobserver{Read: uint32(auth.Read), Write: uint32(auth.Write)}
}

// hearTokens takes what the worker says of the job's tokens.
func (r *remote) hearTokens(n *mexecpb.TokenNews) {
	t := &r.tokens
	if t.loan == nil {
		if t.named == nil {
			return
		}
		pipe, err := r.openJobserver()
		if err != nil {
			t.named = nil // the job has a jobserver where no token ever comes
			r.d.log.Warn(fmt.Sprintf("%s: %v", r.line.Command, err))
			return
		}
		r.d.placer.borrows(r.line)
		t.loan = r.d.lender.Borrow(pipe, func(o jobserver.Offer) error {
			return r.send(&mexecpb.Up{TokenOffer: &mexecpb.TokenOffer{
				Tokens: o.Tokens, Standing: uint32(o.Standing), Recall: o.Recall,
			}})
		})
	}
	t.loan.Heard(jobserver.News{Ask: n.Ask, Got: int(n.Got), Standing: int(n.Standing)}, n.Back)
}

func (r *remote) openJobserver() (*jobserver.Pipe, error) {
	j := r.tokens.named
	if j.Fifo != "" {
		return jobserver.OpenFifo(int(r.cred.PID), j.Fifo, r.cred.UID)
	}
	return jobserver.OpenPipe(r.descriptor(int(j.Read)), r.descriptor(int(j.Write)))
}

// close gives back what the job still had: before its caller hears of its end, for a make counts its tokens then.
func (t *tokens) close() {
	if t.loan != nil {
		t.loan.Close()
		t.loan = nil
	}
}

// nestsBeside is where a daemon has the fifos of its jobs: beside its socket, where every user may pass who may call it.
func nestsBeside(socket string) *jobserver.Nests {
	if abs, err := filepath.Abs(socket); err == nil {
		socket = abs
	}
	return jobserver.NewNests(socket + ".tokens")
}

// nestFor gives the job a jobserver of its own in place of its caller's, and returns the two ends of a pipe. Where a fifo can't be made it has none, as with a
// make that does not find the one it is told of; where a pipe can't, its descriptors are missing, and it goes elsewhere.
func (g *guest) nestFor(job *spawn.Job, start *mexecpb.Start) (ends [2]*os.File) {
	j := start.Jobserver
	var err error
	switch {
	case j == nil:
		return
	case j.Fifo != "":
		if g.nest, err = g.d.nests.Fifo(start.Uid, start.Gid); err == nil {
			job.Exec = g.exec.WithEnv(job.Exec, jobserver.Rewrite(g.exec.Env, j.Fifo, g.nest.Path()))
		}
	default:
		g.nest, ends[0], ends[1], err = g.d.nests.Pipe()
	}
	if err != nil {
		g.d.log.Warn(fmt.Sprintf("job of %s: %v", g.session.Home, err))
	}
	return ends
}

// serveTokens lets the home hear of the job's wishes, from when on there are any.
func (g *guest) serveTokens() {
	if g.nest == nil {
		return
	}
	g.nest.Serve(func(n jobserver.News, back []byte) error {
		return g.send(&mexecpb.Down{TokenNews: &mexecpb.TokenNews{
			Back: back, Ask: n.Ask, Got: uint32(n.Got), Standing: uint32(n.Standing),
		}})
	})
}

func (g *guest) offerTokens(o *mexecpb.TokenOffer) {
	if g.nest != nil {
		g.nest.Offer(jobserver.Offer{Tokens: o.Tokens, Standing: int(o.Standing), Recall: o.Recall})
	}
}

func (g *guest) closeTokens() {
	if g.nest != nil {
		g.nest.Close()
	}
}
