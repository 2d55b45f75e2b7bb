package daemon

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mexec"
	"mexec/internal/ledger"
	"mexec/internal/local"
)

// nothing is what there is to say to a question in good order. It is for the asker, and none of the log's business.
type nothing string

func (n nothing) Error() string { return string(n) }

// answer answers a query of the local protocol:
//
//	nodes      every node that this one knows: a list of mexec.Node
//	build ID   the sums of a build: a ledger.Build
//	jobs       the asker's last jobs that ended, root's of all, newest first: a list of ledger.Job
//	ended N    the asker's jobs that have ended from the Nth of all on: a ledger.Tail
//	why WHICH  the newest job of the asker that has this number, or these words in its command, or any: a ledger.Account
//	guests     whether this node drains, and how many commands of others run here: a mexec.Drain
//	drain WHY  begins to drain, undrain ends it: the same (drain.go)
//	trace PATH whether the asker is traced from now on, for what it executes next: a bool; of mpmake's and mprun's own daemon only
//
// and `watch BUILD NODES`, which is answered for as long as the client listens: feed.go.
func (d *Daemon) answer(cred local.Cred, text string) (any, error) {
	word, arg, _ := strings.Cut(text, " ")
	switch word {
	case "nodes":
		return d.peers.view(), nil
	case "trace":
		if d.cfg.Trace == nil {
			return nil, errors.New("trace: this daemon traces nobody")
		}
		return true, d.cfg.Trace(cred.PID, arg)
	case "guests", "drain", "undrain":
		return d.drains(cred, word, arg)
	case "build":
		p := d.placer
		p.mu.Lock()
		defer p.mu.Unlock()
		if b := p.book.Build(mexec.BuildID(arg)); b != nil {
			sums := *b
			sums.ByNode = make(map[mexec.NodeID]int, len(b.ByNode))
			for n, k := range b.ByNode {
				sums.ByNode[n] = k
			}
			return sums, nil
		}
		return ledger.Build{ID: mexec.BuildID(arg)}, nil
	case "jobs":
		p := d.placer
		p.mu.Lock()
		defer p.mu.Unlock()
		jobs := []ledger.Job{}
		for _, j := range p.book.Recent(1000) {
			if cred.UID == 0 || cred.UID == j.UID {
				jobs = append(jobs, *j)
			}
		}
		return jobs, nil
	case "ended":
		from, err := strconv.Atoi(arg)
		if err != nil {
			return nil, fmt.Errorf("query %q: from which one on?", text)
		}
		p := d.placer
		p.mu.Lock()
		defer p.mu.Unlock()
		jobs, next := p.book.EndedFrom(from)
		ended := ledger.Tail{Next: next, Jobs: []ledger.Job{}}
		for _, j := range jobs {
			if cred.UID == 0 || cred.UID == j.UID {
				ended.Jobs = append(ended.Jobs, *j)
			}
		}
		return ended, nil
	case "why":
		p := d.placer
		p.mu.Lock()
		defer p.mu.Unlock()
		j := p.book.Find(arg, cred.UID)
		switch {
		case j == nil && arg == "":
			return nil, nothing("why: no command of yours has come to this daemon")
		case j == nil:
			return nil, nothing(fmt.Sprintf("why: no job %s, and no command of yours with these words, is remembered here", arg))
		}
		return j.Account(d.self), nil
	}
	return nil, fmt.Errorf("query %q: unknown; known are nodes, build ID, jobs, ended N, why [WHICH], guests, drain [WHY], undrain, watch BUILD [NODES]", text)
}
