package link

import (
	"context"
	"testing"
	"time"

	"mexec/internal/place"
)

// link returns the link to the worker that stands now.
func (w *wired) link() *Link {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	return w.pool.links["worker"]
}

func TestOnlyALaterLinkThatStandsIsASuccessor(t *testing.T) {
	w := connect(t, 1500*time.Millisecond, 0)
	w.pool.Want("worker", w.addr, []place.Share{{UID: 1, Build: "b", Slots: 1, Memory: 3}})
	until(t, w.home, "up worker")
	old := w.link()
	if life := old.Life(); life != 1500*time.Millisecond {
		t.Errorf("the worker's keep-alive time: %v", life)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*glance)
	if w.pool.Successor(ctx, old, w.addr) {
		t.Error("a link is no successor of itself")
	}
	cancel()
	w.worker.s.end() // as when the worker has heard nothing for too long
	until(t, w.home, "down worker")
	if !w.pool.Successor(t.Context(), old, w.addr) || w.link() == old {
		t.Error("no successor, though the worker is there")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 3*glance)
	defer cancel()
	if nobody := (&Link{node: "nobody"}); w.pool.Successor(ctx, nobody, "127.0.0.1:1") {
		t.Error("a successor, though nobody is there")
	}
}
