package drive

import (
	"context"

	"mexec"
	"mexec/internal/ctl"
	"mexec/internal/place"
)

// sink hears what happens to a build, batch by batch, from one goroutine. It may take its time: what it delays is only what it hears itself.
type sink interface {
	Events([]mexec.Event)
}

// The daemons of a build, as its events name them.
const (
	nodeDaemon = "node" // that of this node
	ownDaemon  = "own"  // ours
)

// watch hands what happens to the build to its sinks until it is stopped; stop waits for the ends of what has ended.
func (b *build) watch(sinks ...sink) (stop func()) {
	nodes := b.getenv("NODES")
	if _, err := place.ParseNodes(nodes); err != nil {
		nodes = "" // each command will say so
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for events := range ctl.Watch(ctx, b.id, nodes,
			ctl.Daemon{Source: nodeDaemon, Socket: b.socket}, ctl.Daemon{Source: ownDaemon, Socket: b.alone}) {
			for _, s := range sinks {
				s.Events(events)
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
