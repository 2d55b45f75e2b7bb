package system_test

import (
	"strings"
	"testing"
)

// What was read of a pipe for a node that then refused the job could be given to nobody: the job that stayed here found it gone.
func TestAJobThatIsRefusedHasLostNothingOfItsStdin(t *testing.T) {
	node1, node2, _ := three(t)
	dir := place(t)
	inside(t, node2, `mount -t tmpfs none "$1"`, dir)
	for range 10 {
		for name, c := range map[string]struct{ script, want string }{
			"a pipe": {`seq 3 | mexec -n 2 cat`, "1\n2\n3\n"},
			"a file": {`seq 3 >lines; { mexec -n 2 head -n1; cat; } <lines`, "1\n2\n3\n"},
		} {
			cmd := sh(node1, c.script)
			cmd.Dir = dir
			if r := run(t, cmd); name == "a pipe" && r.out != c.want || !strings.HasPrefix(r.out, "1\n") || r.code != 0 {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
}
