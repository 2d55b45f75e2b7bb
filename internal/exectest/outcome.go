package exectest

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Outcome is all that there was to see of a call, by name: the facts of the program's transcript, and of its end
//
//	errno           execve's, if it failed
//	status          an exit status, or a signal
//	stdout, stderr  what was said
//	node            whether it ran where the runner was to run it
type Outcome map[string]string

func (s *stage) outcome(cmd *exec.Cmd, r Runner, errnoFile, out, errs string) Outcome {
	o := make(Outcome)
	pid := cmd.Process.Pid
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	errno := readErrno(errnoFile)
	if errno == "" && r.Stub != nil && !ws.Signaled() {
		if errno = refused(ws.ExitStatus(), errs); errno != "" {
			errs = ""
		}
	}
	switch {
	case errno != "":
		o["errno"] = errno
	case ws.Signaled():
		o["status"] = fmt.Sprintf("signal %d", int(ws.Signal()))
		if ws.CoreDump() {
			o["status"] += " with a core"
		}
	default:
		o["status"] = fmt.Sprintf("exit %d", ws.ExitStatus())
	}
	text, err := os.ReadFile(s.path("transcript"))
	if err != nil && strings.HasPrefix(out, "fd.") { // it had no descriptor for a file
		text, out = []byte(out), ""
	}
	o["stdout"], o["stderr"] = out, errs
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		o[key] = value
	}
	if len(text) > 0 {
		o.relate(pid, r)
	}
	return o
}

// relate turns numbers and names that mean nothing elsewhere into what they say.
func (o Outcome) relate(pid int, r Runner) {
	switch strconv.Itoa(pid) {
	case o["pid"]:
		o["pid"] = "the one that the caller waits for"
	case o["ppid"]:
		o["pid"] = "a child of the caller"
	default:
		o["pid"] = "another"
	}
	delete(o, "cpus.which") // as many of the worker's; which ones means nothing there
	delete(o, "ppid")
	o["node"] = "as asked for"
	if o["host"] != r.Node {
		o["node"] = "at home"
	}
	delete(o, "host")
}
