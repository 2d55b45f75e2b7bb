package drive

import (
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// ends are the signals that end builds.
var ends = []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP}

// tells are those that tell a tool what only it knows. Of most it ends, too; Go would ignore them.
var tells = []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM}

// heed takes both from now on: whoever has made something has to take it away again. What was ignored for us must stay so for the tool, which Go lets us
// see of SIGHUP and SIGINT only.
func heed() chan os.Signal {
	signals := make(chan os.Signal, 8)
	for _, s := range slices.Concat(ends, tells) {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	return signals
}

// supervise runs the tool in our process group: the terminal's signals reach it by themselves, and we outlive it to tell how it ended.
// What is sent to us alone is passed on. Where the tool ends because of one, nothing of the build stays. One that has come before there is a tool ends us in
// its place. started is called when the tool has what it inherits.
func (b *build) supervise(cmd *exec.Cmd, signals chan os.Signal, started func()) (*ending, error) {
	w := swear()
	left := inherit()
	if w.calledAlready() {
		for late := time.Now().Add(100 * time.Millisecond); len(signals) == 0 && time.Now().Before(late); { // it is on its way to us
			time.Sleep(time.Millisecond)
		}
	}
	if len(signals) > 0 {
		left.leave()
		w.dismiss()
		return &ending{status: syscall.WaitStatus((<-signals).(syscall.Signal))}, nil
	}
	wait, err := b.start(cmd)
	if err != nil {
		left.leave()
		w.dismiss()
		return nil, err
	}
	started()
	over, passed := make(chan struct{}), make(chan bool)
	go func() {
		told := false
		for {
			select {
			case s := <-signals:
				told = told || slices.Contains(ends, s)
				if w.called() {
					w = swear() // for the next one
				} else {
					cmd.Process.Signal(s)
				}
			case <-over:
				w.dismiss()
				passed <- told || len(signals) > 0
				return
			}
		}
	}()
	tool, err := wait()
	close(over)
	told := <-passed
	if err != nil {
		left.leave()
		return nil, err
	}
	if tool.status.Signaled() || told && tool.status != 0 {
		left.kill()
	} else {
		left.leave()
	}
	return tool, nil
}
