package system_test

import (
	"strings"
	"testing"
)

// The program has printed into a pipe, and has ended before its home found that the disk is full: make took the target for made, and the log had lost its end.
func TestACommandWhoseOutputIsLostHasNotSucceeded(t *testing.T) {
	node1, _, _ := three(t)
	const lost = ": its output can't be written: no space left on device\n"
	for _, c := range []struct {
		shell string
		code  int
		says  string
	}{
		{"mexec sh -c 'echo out' >/dev/full", 125, lost},
		{"mexec sh -c 'echo out; exit 7' >/dev/full", 7, lost},
		{"mexec sh -c 'echo err >&2; echo out' 2>/dev/full", 0, ""},             // as most programs have it
		{"mexec sh -c 'sleep 0.2; echo out' | :; exit ${PIPESTATUS[0]}", 0, ""}, // nobody wants it
	} {
		cmd := node1.Command("bash", "-c", c.shell)
		cmd.Env = append(cmd.Env, "NODES=2")
		if r := run(t, cmd); r.code != c.code || c.says == "" && r.errs != "" || !strings.HasSuffix(r.errs, c.says) || strings.Count(r.errs, "\n") > 1 {
			t.Errorf("%s: %+v", c.shell, r)
		}
	}
	dir := t.TempDir()
	write(t, dir+"/Makefile", "x: ; @echo out\n")
	cmd := node1.Command("sh", "-c", "mpmake --quiet >/dev/full")
	cmd.Dir, cmd.Env = dir, append(cmd.Env, "NODES=2")
	if r := run(t, cmd); r.code != 2 || !strings.Contains(r.errs, "Error 125") {
		t.Errorf("%+v", r)
	}
}
