package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"mexec"
	"mexec/internal/wire"
)

// Daemon is one of those that a build's jobs come to.
type Daemon struct {
	Source string // what its events are marked by
	Socket string
}

const (
	// again is how long after a daemon was not there it is looked for again.
	again = 200 * time.Millisecond

	// parting is how long a daemon may take to say the last words of a build.
	parting = time.Second
)

// Watch watches a build at each of its daemons. nodes is the NODES wish of the build, which its room depends on. Events come in batches, those of one
// daemon in its order. A daemon that does not serve is waited for; one that was heard and is heard no longer is marked by a Gap.
//
// entered closes when each daemon is watched, or was found not to serve: what begins later is heard of.
//
// When ctx ends, the events of what has ended by then still come, and then the channel closes: it must be read to its end. Who reads it slowly delays
// nobody, but may be given a Gap.
func Watch(ctx context.Context, build mexec.BuildID, nodes string, daemons ...Daemon) (events <-chan []mexec.Event, entered <-chan struct{}) {
	out, in := make(chan []mexec.Event), make(chan struct{})
	var all, entering sync.WaitGroup
	for _, d := range daemons {
		entering.Add(1)
		enters := sync.OnceFunc(entering.Done)
		all.Go(func() {
			defer enters()
			for ctx.Err() == nil {
				heard, err := d.watch(ctx, build, nodes, out, enters)
				enters()
				if ctx.Err() != nil || errors.Is(err, errRefused) {
					return
				}
				if heard {
					out <- []mexec.Event{{Kind: mexec.Gap, At: time.Now(), Source: d.Source, Why: err.Error()}}
				}
				select {
				case <-time.After(again):
				case <-ctx.Done():
				}
			}
		})
	}
	go func() {
		entering.Wait()
		close(in)
		all.Wait()
		close(out)
	}()
	return out, in
}

// watch delivers what one daemon says until that hangs up; heard tells whether it has said anything. Its first word is of the cluster, and says that it watches.
func (d Daemon) watch(ctx context.Context, build mexec.BuildID, nodes string, out chan<- []mexec.Event, enters func()) (heard bool, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", d.Socket)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() {
		conn.SetReadDeadline(time.Now().Add(parting))
		conn.(*net.UnixConn).CloseWrite()
	})()
	if _, err := conn.Write(wire.AppendText(nil, wire.Query, fmt.Sprintf("watch %s %s", build, nodes))); err != nil {
		return false, gone(ctx, err)
	}
	for {
		body, err := readReply(ctx, conn)
		if err != nil {
			return heard, err
		}
		var events []mexec.Event
		if err := json.Unmarshal(body, &events); err != nil {
			return heard, err
		}
		for i := range events {
			events[i].Source = d.Source
		}
		heard = true
		enters()
		out <- events
	}
}
