package system_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ENVSETTER names a script of the worker that makes the job's environment there.

// setter writes such a script into a new shared directory.
func setter(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(place(t), "setter")
	write(t, file, text)
	return file
}

func TestTheEnvironmentThatTheSetterLeavesIsTheJobs(t *testing.T) {
	node1, _, _ := three(t)
	file := setter(t, `
ADDED="from $(uname -n)"; export ADDED
OLD="$OLD and more"
unset GONE
PATH=/setter:$PATH
unexported=nothing
cd /; umask 0; ulimit -n 20; trap '' TERM; set -f
`)
	const show = `echo "$ADDED|$OLD|${GONE-gone}|${PATH%%:*}|${unexported-none}|$KEPT"; pwd; umask; ulimit -n; grep SigIgn /proc/self/status`
	dir := place(t)
	setup := `umask 027; ulimit -n 99; export KEPT='a  b' OLD=old GONE=here ENVSETTER="$1"; shift; exec "$@"`
	cmd := sh(node1, setup, file, "mexec", "-n", "2", "sh", "-c", show)
	cmd.Dir = dir
	got := run(t, cmd)
	ignored := run(t, sh(node1, "grep SigIgn /proc/self/status")).out // what whoever runs the tests has ignored: some spawners leave signal 32 so
	want := "from node2|old and more|gone|/setter|none|a  b\n" + dir + "\n0027\n99\n" + ignored
	if got.out != want || got.errs != "" || got.code != 0 {
		t.Errorf("%+v, want %q", got, want)
	}
	// Here there is no worker, and so no setter.
	cmd = sh(node1, setup, file, "mexec", "-n", "1", "sh", "-c", show)
	cmd.Dir = dir
	if got := run(t, cmd); !strings.HasPrefix(got.out, "|old|here|") {
		t.Errorf("here: %+v", got)
	}
}

func TestTheSetterRunsOnceBeforeEachJobOnTheWorkerOnly(t *testing.T) {
	node1, _, _ := three(t)
	file := setter(t, `echo "$(uname -n) $(id -u)" >>"${ENVSETTER}.ran"`)
	write(t, file+".ran", "")
	if err := os.Chmod(file+".ran", 0o666); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"mexec -n 2 true", "mexec -n 2 false", "mexec -n 1 true", "mexec -n 3 sh -c 'sh -c :; true'",
		"setpriv --reuid 1000 --regid 1000 --clear-groups mexec -n 2 true",
	} {
		cmd := sh(node1, `ENVSETTER="$1"; export ENVSETTER; `+command, file)
		cmd.Dir = "/"
		run(t, cmd)
	}
	b, err := os.ReadFile(file + ".ran")
	if want := "node2 0\nnode2 0\nnode3 0\nnode2 1000\n"; err != nil || string(b) != want {
		t.Errorf("%q, %v; want %q", b, err, want)
	}
}

func TestWhatTheSetterPrintsGoesToTheLogAndWhatItReadsIsNothing(t *testing.T) {
	node1, node2, _ := three(t)
	since := len(node2.Log())
	file := setter(t, "echo chatter on stdout; echo chatter on stderr >&2; read -r x || echo nothing to read\n(sleep 600; echo late) &\n")
	r := run(t, sh(node1, `echo input | ENVSETTER="$1" mexec -n 2 cat`, file))
	if r.out != "input\n" || r.errs != "" || r.code != 0 {
		t.Errorf("%+v", r)
	}
	for _, l := range []string{"chatter on stdout", "chatter on stderr", "nothing to read"} {
		says(t, node2, since, "environment setter", l)
	}
}

func TestASetterThatFailsIsTheJobsErrorInOneLine(t *testing.T) {
	node1, _, _ := three(t)
	dir := place(t)
	for name, c := range map[string]struct{ file, why string }{
		"missing":         {filepath.Join(dir, "nonesuch"), ": no such file or directory"},
		"directory":       {dir, ": is a directory"},
		"failing":         {setter(t, "false"), ": exit status 1"},
		"ending":          {setter(t, "exit 0"), ": left the shell before its end"},
		"malformed":       {setter(t, "if"), ": exit status 2"},
		"killed":          {setter(t, "kill -9 $$"), ": died of signal 9 (killed)"},
		"not in the PATH": {"nonesuch-setter", ": exit status 2"},
	} {
		r := run(t, sh(node1, `ENVSETTER="$1" exec mexec -n 2-3 sh -c 'echo ran'`, c.file))
		if want := "environment setter " + c.file + c.why + "\n"; r.code != 125 || r.out != "" || r.errs != "mexec: node2: "+want && r.errs != "mexec: node3: "+want {
			t.Errorf("%s: %+v, want %q", name, r, want)
		}
	}
}
