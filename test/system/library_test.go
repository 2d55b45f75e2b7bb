package system_test

import (
	"syscall"
	"testing"
)

// A program that is linked with libmexec: mexec-test calls mexecvp for its arguments.

func TestAProgramOfTheLibraryExecutesOnAnotherNode(t *testing.T) {
	node1, _, _ := three(t)
	for _, c := range []struct {
		args []string
		want result
	}{
		{[]string{"cat", "/proc/sys/kernel/hostname"}, result{out: "node2\n"}},
		{[]string{"sh", "-c", "echo out; echo err >&2; exit 42"}, result{out: "out\n", errs: "err\n", code: 42}},
		{[]string{"sh", "-c", "kill -TERM $$"}, result{code: -1, signal: syscall.SIGTERM}},
		{[]string{"no-such-program"}, result{errs: "mexec-test: no-such-program: No such file or directory\n", code: 127}},
		{[]string{"/"}, result{errs: "mexec-test: /: Permission denied\n", code: 126}},
	} {
		cmd := node1.Command("mexec-test", c.args...)
		cmd.Env = append(cmd.Env, "NODES=2")
		if got := run(t, cmd); got != c.want {
			t.Errorf("%q: %+v, not %+v", c.args, got, c.want)
		}
	}
}
