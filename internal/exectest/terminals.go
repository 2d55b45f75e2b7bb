package exectest

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A terminal as 0, 1 and 2.

var terminals = map[string]Test{
	"terminal: all three":       onTerminal([3]bool{true, true, true}, ""),
	"terminal: stdin":           onTerminal([3]bool{true, false, false}, ""),
	"terminal: stdout":          onTerminal([3]bool{false, true, false}, ""),
	"terminal: stderr":          onTerminal([3]bool{false, false, true}, ""),
	"terminal: stdout, stderr":  onTerminal([3]bool{false, true, true}, ""),
	"terminal: of a user":       onTerminal([3]bool{true, true, true}, "groups 5 gid 1000 1000 1000 uid 1000 1000 1000"),
	"terminal: what is written": onTerminal([3]bool{true, true, true}, "", "PROBE=tell write 1"),
	"terminal: in turn":         onTerminal([3]bool{true, true, true}, "", "PROBE=tell interleave 20"),
}

func itoa(n int) string { return fmt.Sprint(n) }

// onTerminal runs the probe as the leader of a session on a new terminal, which has a size of its own.
func onTerminal(which [3]bool, setup string, env ...string) Test {
	return func(t *testing.T, r Runner) {
		s := newStage(t, r)
		run := func(r Runner) Outcome {
			master, slave := newTerminal(t)
			defer master.Close()
			c := Call{Setup: orders(setup), Env: env}
			c.Sys = &syscall.SysProcAttr{Setsid: true}
			cmd, errnoFile := s.prepare(c, r)
			for n, on := range which {
				if !on {
					continue
				}
				c.Sys.Setctty, c.Sys.Ctty = true, n
				switch n {
				case 0:
					cmd.Stdin = slave
				case 1:
					cmd.Stdout = slave
				case 2:
					cmd.Stderr = slave
				}
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			slave.Close()
			said := make(chan string)
			go func() {
				b, _ := io.ReadAll(master) // ends when the last of its session is gone
				said <- string(b)
			}()
			s.wait(cmd)
			o := s.outcome(cmd, r, errnoFile, "", "")
			o["said"] = <-said
			return o
		}
		s.compare(run(s.kernel()), run(r))
	}
}

func newTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	fd := int(master.Fd())
	unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 111})
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}
