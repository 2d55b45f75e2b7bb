package spawn

import (
	"syscall"
	"testing"
)

// Of a continue and a stop that follow each other closely the kernel reports the stop alone: it is another one than the last, and whoever has gone on since
// must hear of it.
func TestEachStopIsToldAlsoWithoutTheContinueBeforeIt(t *testing.T) {
	told := make(chan syscall.Signal, 10)
	var c changes
	c.listen(func(s syscall.Signal) { told <- s })
	for _, s := range []syscall.Signal{syscall.SIGTSTP, syscall.SIGTSTP, 0, 0, syscall.SIGSTOP} {
		c.set(s)
		c.teller.Wait()
	}
	c.close()
	close(told)
	var got []syscall.Signal
	for s := range told {
		got = append(got, s)
	}
	if len(got) != 4 || got[1] != syscall.SIGTSTP || got[2] != 0 || got[3] != syscall.SIGSTOP {
		t.Errorf("told %v", got)
	}
}
