package system_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mexec/test/hosts"
)

// compiler is gcc, but that it notes in the file log when it begins, that it is alive, and when it ends, as lines of its node and the time, and that it
// waits for the file go.
const compiler = `#!/bin/sh
read node </proc/sys/kernel/hostname
note() { echo "$1 $node $(date +%s%N)" >>"$NOTES/log"; }
note +
while [ ! -e "$NOTES/go" ]; do note .; sleep 0.02; done
gcc "$@" || exit
note -
`

const source = "int twice(int n) { return 2 * n; }\n"

// compilation is a project whose one recipe is such a compiler's.
func compilation(t *testing.T, recipe string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "bin", "slow-gcc"), compiler)
	if err := os.Chmod(filepath.Join(dir, "bin", "slow-gcc"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "twice.c"), source)
	write(t, filepath.Join(dir, "Makefile"), "twice.o: twice.c\n\t"+recipe+"\n")
	return dir
}

const compile = "$(CURDIR)/bin/slow-gcc -O2 -c -o $@ $<"

// build starts a build of it that may use the nodes 2 and 3.
func build(t *testing.T, h *hosts.Host, dir string, args ...string) (end func() result) {
	t.Helper()
	cmd := h.Command("mpmake", args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "NODES=2,3", "NOTES="+dir)
	end = background(t, cmd)
	t.Cleanup(func() { os.WriteFile(filepath.Join(dir, "go"), nil, 0o644) }) // of a test that failed: what runs, ends
	return end
}

// note is a line of the log.
type note struct {
	what, node string
	at         int64
}

func notes(t *testing.T, dir string) (all []note) {
	t.Helper()
	b, _ := os.ReadFile(filepath.Join(dir, "log"))
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue // half written
		}
		at, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, note{f[0], f[1], at})
	}
	return all
}

// begun lists the nodes on which the compiler was started.
func begun(t *testing.T, dir string) (nodes []string) {
	for _, n := range notes(t, dir) {
		if n.what == "+" {
			nodes = append(nodes, n.node)
		}
	}
	return nodes
}

func first(t *testing.T, dir string, node2, node3 *hosts.Host) *hosts.Host {
	t.Helper()
	eventually(t, "the compiler runs", func() bool { return len(begun(t, dir)) > 0 })
	if begun(t, dir)[0] == node2.Name {
		return node2
	}
	return node3
}

// apart fails the test unless the compiler ran twice, and the second time when the first run was over.
func apart(t *testing.T, dir string) {
	t.Helper()
	var last, second int64
	all := notes(t, dir)
	nodes := begun(t, dir)
	if len(nodes) != 2 || nodes[0] == nodes[1] {
		t.Fatalf("it ran on %v", nodes)
	}
	for _, n := range all {
		if n.node == nodes[0] {
			last = n.at
		} else if second == 0 {
			second = n.at
		}
	}
	if last >= second {
		t.Errorf("the first run was alive %d ns after the second had begun", last-second)
	}
	t.Logf("%d ms lay between the two", (second-last)/1e6)
}

// sameObject compares with what gcc makes here.
func sameObject(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("gcc", "-O2", "-c", "-o", "want.o", "twice.c")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !bytes.Equal([]byte(read(t, filepath.Join(dir, "twice.o"))), []byte(read(t, filepath.Join(dir, "want.o")))) {
		t.Error("another object")
	}
}

func TestACompileWhoseNodeIsKilledRunsAgainAndTheBuildSucceeds(t *testing.T) {
	node1, node2, node3 := three(t)
	dir := compilation(t, compile)
	end := build(t, node1, dir)
	victim := first(t, dir, node2, node3)
	killDaemon(t, victim)
	eventually(t, "it runs again", func() bool { return len(begun(t, dir)) > 1 })
	write(t, filepath.Join(dir, "go"), "")
	r := end()
	if r.code != 0 || !strings.HasSuffix(r.errs, "; 1 ran again\n") || !strings.Contains(r.errs, "mpmake: 1 command ") {
		t.Errorf("%+v", r)
	}
	apart(t, dir)
	sameObject(t, dir)
	restore(t, victim)
}

// A set of hosts of its own, with a short keep-alive time: the gossip of a cut as long as the usual one takes would need its time to heal.
func TestTheSecondRunBeginsWhenTheFirstIsDeadThoughTheNetworkIsCut(t *testing.T) {
	needRoot(t)
	hs := hosts.Test(t, hosts.Config{N: 3, Slots: 4, Flags: []string{"--keepalive=1s"}, Bin: bin})
	if err := hs.WaitUp(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	dir := compilation(t, "echo compiling >/dev/null && "+compile)
	end := build(t, hs.All[0], dir)
	if err := first(t, dir, hs.All[1], hs.All[2]).Cut(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs again", func() bool { return len(begun(t, dir)) > 1 })
	write(t, filepath.Join(dir, "go"), "")
	if r := end(); r.code != 0 || !strings.HasSuffix(r.errs, "; 1 ran again\n") {
		t.Errorf("%+v", r)
	}
	apart(t, dir)
	sameObject(t, dir)
}

func TestANodeThatIsBackAgainIsWaitedForNoLonger(t *testing.T) {
	node1, node2, node3 := three(t)
	dir := compilation(t, compile)
	end := build(t, node1, dir)
	victim := first(t, dir, node2, node3)
	killDaemon(t, victim)
	restore(t, victim)
	eventually(t, "it runs again", func() bool { return len(begun(t, dir)) > 1 })
	write(t, filepath.Join(dir, "go"), "")
	if r := end(); r.code != 0 {
		t.Errorf("%+v", r)
	}
	apart(t, dir)
}

func TestWhatMayNotRunAgainIsALossAndRanOnce(t *testing.T) {
	node1, node2, node3 := three(t)
	for _, c := range []struct {
		name, recipe string
		args         []string
		says         string
	}{
		{"never", compile, []string{"--rerun=never"}, "slow-gcc: lost on node"},
		{"two commands", compile + " && echo $@ >>made", nil, "sh: lost on node"},
		{"appended to", compile + " >>made", []string{"--rerun=safe"}, "not run again: a second run might do more than one"},
		{"no object", "$(CURDIR)/bin/slow-gcc -O2 -o $@ $<", nil, "not run again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := compilation(t, c.recipe)
			end := build(t, node1, dir, c.args...)
			victim := first(t, dir, node2, node3)
			killDaemon(t, victim)
			r := end()
			if r.code != 2 || !strings.Contains(r.errs, c.says) || !strings.HasSuffix(r.errs, "; 1 lost\n") {
				t.Errorf("%+v", r)
			}
			restore(t, victim)
			if n := begun(t, dir); len(n) != 1 {
				t.Errorf("it ran on %v", n)
			}
		})
	}
}

func TestWhatAProjectCallsRepeatableRunsAgain(t *testing.T) {
	node1, node2, node3 := three(t)
	dir := compilation(t, "$(CURDIR)/bin/code-gen -O2 -c -o $@ $<")
	if err := os.Rename(filepath.Join(dir, "bin/slow-gcc"), filepath.Join(dir, "bin/code-gen")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, ".mexec.toml"), `repeat = ["code-*"]`)
	end := build(t, node1, dir)
	victim := first(t, dir, node2, node3)
	killDaemon(t, victim)
	restore(t, victim)
	eventually(t, "it runs again", func() bool { return len(begun(t, dir)) > 1 })
	write(t, filepath.Join(dir, "go"), "")
	if r := end(); r.code != 0 {
		t.Errorf("%+v", r)
	}
	apart(t, dir)
}

func TestAlwaysRunsAnythingAgain(t *testing.T) {
	node1, node2, node3 := three(t)
	file := filepath.Join(t.TempDir(), "runs")
	by := map[string]*hosts.Host{"node2": node2, "node3": node3}
	end := background(t, node1.Command("mexec", "-v", "-n", "2,3", "--rerun=always", "sh", "-c", counted, "counted", file, file+".go"))
	victim := by[began(t, file)]
	killDaemon(t, victim)
	restore(t, victim)
	eventually(t, "it runs again", func() bool { return len(runs(file)) > 1 })
	write(t, file+".go", "")
	r := end()
	if all := runs(file); r.code != 0 || len(all) != 2 || strings.Count(r.errs, "mexec: node") != 2 {
		t.Errorf("%+v, ran on %v", r, all)
	}
}

// A stub that was told that its job waits would run it here, beside the lost run.
func TestWhenTheHomeDaemonDiesWhileALostRunMayLiveTheCommandIsALoss(t *testing.T) {
	node1, node2, node3 := three(t)
	dir := compilation(t, compile)
	end := build(t, node1, dir)
	victim := first(t, dir, node2, node3)
	since := len(node1.Log())
	killDaemon(t, victim)
	says(t, node1, since, "slow-gcc", ": lost:")
	killDaemon(t, node1)
	if r := end(); r.code != 2 || !strings.Contains(r.errs, "the daemon of this node went away while the job ran") {
		t.Errorf("%+v", r)
	}
	restore(t, node1, victim)
	if n := begun(t, dir); len(n) != 1 {
		t.Errorf("it ran on %v", n)
	}
}

func TestAWrongModeIsOneLineThatSaysWhatToDo(t *testing.T) {
	node1, _, _ := three(t)
	for _, c := range []struct {
		variable string
		args     []string
		code     int
		says     string
	}{
		{"", []string{"mpmake", "--rerun=often"}, 2, `mpmake: --rerun=often: want never, safe, slow or always`},
		{"", []string{"mprun", "--rerun", "often", "true"}, 125, `mprun: --rerun=often: want never, safe, slow or always`},
		{"", []string{"mprun", "--rerun=", "true"}, 125, `mprun: --rerun needs a MODE`},
		{"MEXEC_RERUN=x", []string{"mprun", "true"}, 125, `mprun: MEXEC_RERUN=x: want never, safe, slow or always`},
		{"MEXEC_RERUN=x", []string{"mpmake"}, 2, `mpmake: MEXEC_RERUN=x: want never, safe, slow or always`},
	} {
		cmd := node1.Command(c.args[0], c.args[1:]...)
		cmd.Dir = t.TempDir()
		if c.variable != "" {
			cmd.Env = append(cmd.Env, c.variable)
		}
		if r := run(t, cmd); r.code != c.code || r.errs != c.says+"\n" {
			t.Errorf("%v: %+v", c.args, r)
		}
	}
	cmd := node1.Command("mprun", "--rerun=always", "--explain", "true")
	if r := run(t, cmd); !strings.Contains(r.out, "(always)") {
		t.Errorf("%+v", r)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".mexec.toml"), `repeat = ["moc*"]`)
	if r := mprun(t, node1, dir, "--explain", "true"); !strings.Contains(r.out, fmt.Sprintf("(%s/.mexec.toml): moc*\n", dir)) {
		t.Errorf("%+v", r)
	}
}
