package drive

import (
	"context"
	"fmt"
	"time"

	"mexec"
	"mexec/internal/ctl"
	"mexec/internal/place"
	"mexec/internal/pulse"
)

// sink hears what happens to a build, batch by batch, from one goroutine. It may take its time: what it delays is only what it hears itself.
type sink interface {
	Events([]mexec.Event)
}

// The daemons of a build, as its events name them.
const (
	nodeDaemon = "node" // that of this node
	ownDaemon  = "own"  // ours

	journalSource = "journal" // no daemon, and has no jobs
)

// turn is how often the journal is read: what a screen shows is as old as that.
const turn = 200 * time.Millisecond

// lateness is how long the tool waits for the daemons to watch its build. Without that the first commands had ended before, on a busy machine, and nobody heard of them.
const lateness = 100 * time.Millisecond

// watch hands what happens to the build from now on to its sinks until it is stopped, with the end of the tool; stop waits for the ends of what has ended.
func (b *build) watch(sinks ...sink) (stop func(tool *ending)) {
	nodes := b.getenv("NODES")
	if _, err := place.ParseNodes(nodes); err != nil {
		nodes = "" // each command will say so
	}
	ctx, cancel := context.WithCancel(context.Background())
	heard, entered := ctl.Watch(ctx, b.id, nodes, ctl.Daemon{Source: nodeDaemon, Socket: b.socket}, ctl.Daemon{Source: ownDaemon, Socket: b.alone})
	tell := func(events []mexec.Event) {
		for _, s := range sinks {
			if len(events) > 0 {
				s.Events(events)
			}
		}
	}
	var tool *ending
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := pulse.Every(turn)
		defer tick.Stop()
		for open := true; open; {
			select {
			case events, more := <-heard:
				tell(events)
				open = more
			case <-tick.C:
				tell(b.kept(nil))
				tick.Again()
			}
		}
		tell(b.kept(tool))
	}()
	select {
	case <-entered:
	case <-time.After(lateness):
	}
	return func(end *ending) {
		tool = end
		cancel()
		<-done
	}
}

// kept is what the drivers have told since the last time; with the tool's end it is the last time.
func (b *build) kept(tool *ending) []mexec.Event {
	if b.journal == nil {
		return nil
	}
	events := b.journal.Read(tool != nil)
	if tool != nil {
		events = append(events, b.journal.Tool(tool.pid, tool.status, tool.usage, time.Now()))
		if n := b.journal.Gaps(); n > 0 {
			events = append(events, mexec.Event{Kind: mexec.Gap, At: time.Now(), Source: journalSource, Why: fmt.Sprint(n, " records were lost")})
		}
	}
	return events
}
