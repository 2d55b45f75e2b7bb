package screen

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// heir takes the block away when we can't, having been killed: a process that prints the last line of its input when that ends, which tail is. In a session
// of its own it gets none of the terminal's signals, and its write can't be stopped. It is there from the first block on. Without one (there is no process
// to be had, or no tail) the region stays on the terminal.
type heir struct {
	cmd  *exec.Cmd // nil: not started
	in   io.WriteCloser
	will string
}

// inherits says what is to be printed, nothing where there is nothing to take away.
func (h *heir) inherits(file *os.File, will []byte) {
	if h.will == string(will) {
		return
	}
	h.will = string(will)
	if h.cmd == nil {
		h.cmd = exec.Command("tail", "-n", "1")
		h.cmd.Env, h.cmd.Dir = []string{}, "/"
		h.cmd.Stdout = file
		h.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		in, err := h.cmd.StdinPipe()
		if err == nil && h.cmd.Start() == nil {
			h.in = in
		}
	}
	if h.in != nil {
		fmt.Fprintf(h.in, "\n%s", will)
	}
}

// dismiss ends it, before it could print.
func (h *heir) dismiss() {
	if h.in != nil {
		h.cmd.Process.Kill()
		h.in.Close()
		h.cmd.Wait()
	}
}
