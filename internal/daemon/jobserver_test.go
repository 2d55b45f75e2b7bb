package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// borrow runs a job on the second node that takes tokens and brings them back, by the pipe at its descriptors 3 and 4, until it is killed after a time, if
// that is not 0, or has done so often enough.
func (m *member) borrow(r, w *os.File, killed time.Duration) error {
	ctx, cancel := context.WithTimeout(m.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, built(m.t, "mexec"), "-n", "2", "sh", "-c",
		`one() { for i in 1 2 3 4 5 6; do t=$(dd bs=1 count=1 <&3 2>/dev/null); sleep 0.0$i; printf %s "$t" >&4; done; }; one & one & one & wait`)
	cmd.Env = append(os.Environ(), "MEXEC_SOCKET="+m.cfg.Socket, "MAKEFLAGS= -j --jobserver-auth=3,4")
	cmd.ExtraFiles = []*os.File{r, w}
	if err := cmd.Start(); err != nil {
		return err
	}
	if killed > 0 {
		kill := time.AfterFunc(killed, func() { cmd.Process.Signal(syscall.SIGKILL) })
		defer kill.Stop()
	}
	return cmd.Wait()
}

func TestJobsThatShareAPipeOfTokensAndEndAtAnyTimeLeaveThemAll(t *testing.T) {
	first, second := two(t, func(c *Config) { c.Slots = 8 })
	all := []byte("abcd")
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(p[0]), "r"), os.NewFile(uintptr(p[1]), "w")
	defer r.Close()
	defer w.Close()
	w.Write(all)
	for round := range 5 {
		var jobs sync.WaitGroup
		for i := range 4 {
			killed := time.Duration((i+round)%4) * 70 * time.Millisecond
			jobs.Go(func() {
				if err := first.borrow(r, w, killed); err != nil && killed == 0 {
					t.Error(err)
				}
			})
		}
		jobs.Wait()
		first.until(fmt.Sprintf("all tokens are home after round %d", round), func() bool {
			n, _ := unix.IoctlGetInt(p[0], unix.TIOCINQ)
			return n == len(all)
		})
		got := make([]byte, len(all))
		io.ReadFull(r, got)
		w.Write(got)
		if slices.Sort(got); !bytes.Equal(got, all) {
			t.Fatalf("%q came home", got)
		}
	}
	if flags, err := unix.FcntlInt(uintptr(p[0]), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Error("the caller's pipe was made non-blocking")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(second.cfg.Socket + ".tokens"); err == nil {
		t.Error("the directory of its fifos is left")
	}
}
