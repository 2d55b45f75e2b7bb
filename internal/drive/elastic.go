package drive

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"mexec"
	"mexec/internal/jobserver"
	"mexec/internal/pulse"
)

// jobs is how a tool is told how many jobs may run.
type jobs struct {
	slots func() int // of the cluster, for a tool that takes a number once and for all

	// serve opens a jobserver for the tool, a fifo or a pipe, for limit jobs at most, 0 for as many as there is room for. nil: somebody above us has one, or should.
	serve func(fifo bool, limit int) (auth string, err error)
}

// client returns the MAKEFLAGS of a client of a jobserver of ours. Its -j is what a make of its own would say there: makefiles look at it.
func (j jobs) client(flags string, limit int, fifo bool) (string, bool) {
	if j.serve == nil {
		return "", false
	}
	auth, err := j.serve(fifo, max(0, limit))
	if err != nil {
		return "", false
	}
	word := "-j"
	switch limit {
	case unlimited:
	case unsaid:
		word += strconv.Itoa(max(2, j.slots()))
	default:
		word += strconv.Itoa(limit)
	}
	return jobserver.With(flags, word+" --jobserver-auth="+auth), true
}

func (b *build) jobs() jobs {
	if b.nested {
		return jobs{slots: b.slots}
	}
	return jobs{slots: b.slots, serve: b.serve}
}

// pool is the jobserver of a build. It hears what the cluster has room for, and what is under way.
type pool struct {
	own    *jobserver.Own
	limit  int
	mender sync.WaitGroup
	done   chan struct{}

	mu      sync.Mutex // guards the rest
	room    map[string]int
	open    map[job]bool // jobs under way, and whether they have a jobserver of their own
	borrows int          // of open, those that have
}

type job struct {
	source string
	id     mexec.JobID
}

func (b *build) serve(fifo bool, limit int) (string, error) {
	path := ""
	if dir, err := filepath.Abs(filepath.Dir(b.alone)); fifo && err == nil && !strings.ContainsFunc(dir, quoted) {
		path = filepath.Join(dir, "tokens")
	}
	own, err := jobserver.NewOwn(path)
	if err != nil {
		return "", err
	}
	b.pool = &pool{own: own, limit: limit, done: make(chan struct{}), room: map[string]int{}, open: map[job]bool{}}
	b.sinks = append(b.sinks, b.pool)
	return own.Auth(), nil
}

// quoted is what MAKEFLAGS would need quotes for.
func quoted(r rune) bool {
	return !(r == '/' || r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z')
}

var _ sink = (*pool)(nil)

// Events sets the tokens to what there is room for: at this node's daemon, and where none is heard, at our own.
func (p *pool) Events(events []mexec.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		j := job{e.Source, e.Job}
		switch e.Kind {
		case mexec.Cluster:
			p.room[e.Source] = e.Room
		case mexec.Gap:
			delete(p.room, e.Source)
			for k := range p.open {
				if k.source == e.Source {
					p.closeLocked(k)
				}
			}
		case mexec.Received:
			p.open[j] = false
		case mexec.Borrows:
			if borrows, ok := p.open[j]; ok && !borrows {
				p.open[j] = true
				p.borrows++
			}
		case mexec.Ended, mexec.Lost, mexec.Withdrawn:
			p.closeLocked(j)
		}
	}
	if room := cmp.Or(p.room[nodeDaemon], p.room[ownDaemon]); room > 0 {
		p.own.Aim(jobserver.Target(room, p.limit))
	}
}

func (p *pool) closeLocked(j job) {
	if p.open[j] {
		p.borrows--
	}
	delete(p.open, j)
}

// started tells that the tool runs.
func (p *pool) started(pid int) {
	if p == nil {
		return
	}
	p.own.Started()
	p.mender.Go(func() { p.mend(pid) })
}

// look is how often lost tokens are looked for.
const look = 400 * time.Millisecond

// mend replaces the tokens of clients that were killed. Nobody tells of that, so what is held is compared with what could hold it: each token that a client holds stands for
// a child of it, below which some process has no children. So there are never more of them than such leaves below the tool; what is held beyond
// is lost. (Of a make's children one needs no token, and what recipes have left behind is below their make, so that one lost token, or as many as that, may never be seen to be.) Most of the time the jobs that the daemons know of are as many as the tokens, and nothing needs to be counted.
// A job on another node that has opened its jobserver may have any number of tokens; while there is one, none is taken for lost.
func (p *pool) mend(tool int) {
	var losses jobserver.Losses
	t := pulse.Every(look)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			t.Again()
		case <-p.done:
			return
		}
		missing := 0
		if held, empty := p.own.Held(); empty {
			p.mu.Lock()
			sure, open := p.borrows == 0, len(p.open)
			p.mu.Unlock()
			if sure && held > open {
				if n, ok := leaves(tool); ok {
					missing = held - n
				}
			}
		}
		if n := losses.Look(missing); n > 0 {
			p.own.Lost(n)
		}
	}
}

// leaves counts the processes below one that have no children, those too that have ended and were not waited for. false: it can't be told.
func leaves(pid int) (n int, ok bool) {
	lists, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, list := range lists {
		children, err := os.ReadFile(list)
		ok = ok || err == nil
		for _, child := range strings.Fields(string(children)) {
			c, err := strconv.Atoi(child)
			if err != nil {
				continue
			}
			below, _ := leaves(c)
			n += max(1, below)
		}
	}
	return n, ok
}

// close ends the pool. That each token is back is the tool's to care for: a make that was killed has taken its own along.
func (p *pool) close(b *build) {
	if p == nil {
		return
	}
	close(p.done)
	p.mender.Wait()
	if missing := p.own.Close(); b.getenv("MEXEC_DEBUG") != "" {
		fmt.Fprintf(b.stderr, "%s: jobserver: %d tokens missing\n", b.name, missing)
	}
}
