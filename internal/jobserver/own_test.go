package jobserver

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// owns are a pipe and a fifo of ours, each with how a client has it open: blocking, as a make does.
func owns(t *testing.T, f func(t *testing.T, o *Own, r, w int)) {
	t.Run("pipe", func(t *testing.T) {
		o, err := NewOwn("")
		if err != nil {
			t.Fatal(err)
		}
		f(t, o, o.ends[0], o.ends[1])
	})
	t.Run("fifo", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tokens")
		o, err := NewOwn(path)
		if err != nil {
			t.Fatal(err)
		}
		if o.Auth() != "fifo:"+path {
			t.Error(o.Auth())
		}
		r, err := unix.Open(path, unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		w, err := unix.Open(path, unix.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f(t, o, r, w)
		unix.Close(r)
		unix.Close(w)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	})
}

func TestAReaderThatWaitsHasARaiseAtOnce(t *testing.T) {
	owns(t, func(t *testing.T, o *Own, r, w int) {
		got := make(chan error)
		go func() {
			_, err := unix.Read(r, make([]byte, 1))
			got <- err
		}()
		o.Aim(2)
		if err := <-got; err != nil {
			t.Error(err)
		}
		for _, fd := range []int{r, w} {
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
				t.Error("the client's open file does not block any more", err)
			}
		}
		if missing := o.Close(); missing != 1 {
			t.Errorf("%d missing, one is held", missing)
		}
	})
}

func TestALoweredTargetTakesWhatIsFreeAndThenWhatComesBack(t *testing.T) {
	owns(t, func(t *testing.T, o *Own, r, w int) {
		o.Aim(9)
		held := make([]byte, 5)
		if n, err := unix.Read(r, held); n != 5 || err != nil {
			t.Fatal(n, err)
		}
		o.Aim(4)
		if free := o.pipe.Free(); free != 0 {
			t.Errorf("%d of 3 were left in the pipe", free)
		}
		for i := range held { // the first two are debts, the rest is to stay
			unix.Write(w, held[i:i+1])
			want := max(0, i+1-2)
			for deadline := time.Now().Add(10 * time.Second); o.pipe.Free() != want; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%d in the pipe after %d came back, not %d", o.pipe.Free(), i+1, want)
				}
			}
		}
		if missing := o.Close(); missing != 0 {
			t.Errorf("%d missing", missing)
		}
	})
}

// Clients that block come and go while the target moves: no token is made or lost, and no more are held than were ever allowed.
func TestATargetThatMovesUnderClientsKeepsEachToken(t *testing.T) {
	owns(t, func(t *testing.T, o *Own, r, w int) {
		const clients, most = 8, 6
		var held, seen atomic.Int32
		stop := make(chan struct{})
		var all, mover sync.WaitGroup
		for c := range clients {
			all.Go(func() {
				rng := rand.New(rand.NewPCG(1, uint64(c)))
				b := make([]byte, 1)
				for range 300 {
					if n, err := unix.Read(r, b); n != 1 || err != nil {
						t.Error(n, err)
						return
					}
					seen.Store(max(seen.Load(), held.Add(1)))
					for range rng.IntN(20) {
						runtime.Gosched()
					}
					held.Add(-1)
					unix.Write(w, b)
				}
			})
		}
		mover.Go(func() {
			rng := rand.New(rand.NewPCG(2, 2))
			for {
				select {
				case <-stop:
					o.Aim(most) // enough for whoever is left
					return
				case <-time.After(time.Millisecond):
					o.Aim(2 + rng.IntN(most-1))
				}
			}
		})
		all.Wait()
		close(stop)
		mover.Wait()
		if n := seen.Load(); n > most-1 {
			t.Errorf("%d held at once, of %d", n, most-1)
		}
		if free := o.pipe.Free(); free != most-1 {
			t.Errorf("%d in the pipe, not %d", free, most-1)
		}
		if missing := o.Close(); missing != 0 {
			t.Errorf("%d missing", missing)
		}
	})
}

func TestLostTokensAreWrittenAnewAndTakenOutIfTheyComeBack(t *testing.T) {
	owns(t, func(t *testing.T, o *Own, r, w int) {
		o.Aim(5)
		b := make([]byte, 4)
		unix.Read(r, b)
		if held, empty := o.Held(); held != 4 || !empty {
			t.Error(held, empty)
		}
		o.Lost(3)
		if held, empty := o.Held(); held != 1 || empty {
			t.Error(held, empty)
		}
		unix.Write(w, b)
		if held, _ := o.Held(); held != 0 || o.pipe.Free() != 4 {
			t.Errorf("%d held, %d in the pipe", held, o.pipe.Free())
		}
		o.Close()
	})
}
