package drive

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// witness is a process in our group that does nothing. A signal tells who sent it and not to whom: it may have been for us alone, and the tool is to get
// it from us, or for the group, and the tool has it already. A second one is not harmless: a ninja that has heard the first dies of it before it
// has ended its commands. So who wants to know looks whether the witness has died of it, too.
type witness struct {
	cmd  *exec.Cmd
	hold io.Closer // it ends with us
	died chan struct{}
}

// swear starts a witness. Without one (there is no process to be had, or no cat) nobody was called.
func swear() *witness {
	w := &witness{cmd: exec.Command("cat"), died: make(chan struct{})}
	w.cmd.Env = []string{}
	hold, err := w.cmd.StdinPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		return nil
	}
	w.hold = hold
	go func() {
		w.cmd.Wait()
		close(w.died)
	}()
	return w
}

// called says whether a signal that we have was for the whole group. The kernel gives it to all of a group at once, but the witness need not have had the
// CPU to die of it: then it is pending there.
func (w *witness) called() bool {
	for late := time.Now().Add(10 * time.Millisecond); ; time.Sleep(time.Millisecond) { // we may have been the first
		if w.calledAlready() {
			return true
		}
		if w == nil || time.Now().After(late) {
			return false
		}
	}
}

func (w *witness) calledAlready() bool {
	if w == nil {
		return false
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
	return err != nil || !strings.Contains(string(status), "\nShdPnd:\t0000000000000000\n") || ended(w.cmd.Process.Pid)
}

func (w *witness) dismiss() {
	if w == nil {
		return
	}
	w.hold.Close()
	w.cmd.Process.Signal(syscall.SIGKILL) // it may be stopped
	<-w.died
}
