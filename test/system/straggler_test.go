package system_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A tool that may run twice, and does not end on node2 once the file is there.
const slowly = `#!/bin/sh
read node </proc/sys/kernel/hostname
echo $node >>"$1.runs"
if [ $node = node2 ] && [ -e "$1.trouble" ]; then sleep 600; fi
sleep 0.3
`

func TestAStragglerIsEndedAndBegunAnewOnAnotherNode(t *testing.T) {
	node1, node2, _ := three(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "slowly"), slowly)
	if err := os.Chmod(filepath.Join(dir, "slowly"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, ".mexec.toml"), "repeat = [\"slowly\"]\n")
	file := filepath.Join(dir, "f")
	build := func(nodes string) *exec.Cmd {
		cmd := node1.Command("mprun", "--rerun=slow", "sh", "-c", "./slowly "+file+" & wait")
		cmd.Dir, cmd.Env = dir, append(cmd.Env, "NODES="+nodes, "STRAGGLER="+dir)
		return cmd
	}
	for range 4 { // so that it is known how long it takes
		if r := run(t, build("2")); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	write(t, file+".trouble", "")
	if err := os.Remove(file + ".runs"); err != nil {
		t.Fatal(err)
	}
	// As long as node3 is full it goes to node2.
	held, gate := filepath.Join(dir, "held"), filepath.Join(dir, "go")
	for range 4 {
		background(t, node1.Command("mexec", "-n", "3", "sh", "-c", counted, "counted", held, gate))
	}
	eventually(t, "node3 is full", func() bool { return len(runs(held)) == 4 })
	end := background(t, build("2,3"))
	if on := began(t, file+".runs"); on != "node2" {
		t.Fatalf("it runs on %s", on)
	}
	write(t, gate, "")
	r := end()
	if where := runs(file + ".runs"); r.code != 0 || len(where) != 2 || where[1] != "node3" || !strings.Contains(r.errs, "1 ran again") {
		t.Errorf("%+v, ran on %v", r, where)
	}
	says(t, node1, 0, "node2 was slow with it", "runs again")
	if why := run(t, node1.Command("mexecctl", "why", "slowly")); !strings.Contains(why.out, "was slow (") {
		t.Errorf("%+v", why)
	}
	if left := living(network(node2), "STRAGGLER="+dir); len(left) > 0 {
		t.Errorf("%v are left on node2", left)
	}
}
