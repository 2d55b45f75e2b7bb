package daemon

import (
	"context"
	"syscall"
	"testing"

	"mexec/internal/wire"
	"mexec/internal/wire/mexecpb"
)

// A signal is for the program or for the stub, never for nobody, whenever it comes: before a job is sent, while nobody knows whether the node
// takes it, and after.
func TestASignalWhileTheJobIsSentIsNotLost(t *testing.T) {
	begin := func() (*caller, *[]syscall.Signal) {
		c := &caller{exec: &wire.ExecBody{SigBlk: 1 << (syscall.SIGUSR1 - 1)}}
		c.ctx, c.cancel = context.WithCancel(t.Context())
		c.signal(wire.SignalBody{Number: syscall.SIGUSR1}) // blocked: waits for the program
		c.enter(sent)
		c.signal(wire.SignalBody{Number: syscall.SIGTERM})
		if c.ctx.Err() != nil {
			t.Fatal("a job that may run was given up")
		}
		heard := &[]syscall.Signal{}
		(&remote{caller: c}).attachTo(func(up *mexecpb.Up) error {
			*heard = append(*heard, syscall.Signal(up.Signal.Number))
			return nil
		})
		if len(*heard) != 2 || (*heard)[0] != syscall.SIGUSR1 || (*heard)[1] != syscall.SIGTERM {
			t.Fatalf("the program got %v", *heard)
		}
		return c, heard
	}
	t.Run("it runs", func(t *testing.T) {
		c, heard := begin()
		c.enter(runs)
		c.signal(wire.SignalBody{Number: syscall.SIGINT})
		if len(*heard) != 3 || c.ctx.Err() != nil || c.killed != 0 {
			t.Errorf("the program got %v; killed %v", *heard, c.killed)
		}
	})
	t.Run("it is refused", func(t *testing.T) {
		c, _ := begin()
		(&remote{caller: c}).detach()
		c.enter(placing)
		if c.ctx.Err() == nil || c.killed != syscall.SIGTERM {
			t.Errorf("killed %v: the stub was to die of SIGTERM", c.killed)
		}
		if len(c.pending) != 1 {
			t.Errorf("%v are kept for the program", c.pending)
		}
	})
	t.Run("it is over", func(t *testing.T) {
		c, _ := begin()
		c.enter(runs)
		(&remote{caller: c}).detach()
		c.signal(wire.SignalBody{Number: syscall.SIGINT})
		if c.ctx.Err() != nil || c.killed != 0 {
			t.Error("the news of the end was given up")
		}
	})
}
