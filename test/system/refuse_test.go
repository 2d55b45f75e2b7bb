package system_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mexec/internal/ctl"
	"mexec/internal/ledger"
	"mexec/test/hosts"
)

// A worker refuses what it could not run exactly as the caller's node would. The job goes elsewhere or stays, and only -v or a query
// tells: to the caller a refusal is no event.

// place makes a directory that all hosts and users share.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(trio.hs.Dir, "place")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// inside runs a shell command on one host, for what it changes there.
func inside(t *testing.T, h *hosts.Host, script string, args ...string) {
	t.Helper()
	if r := run(t, sh(h, script, args...)); r.code != 0 {
		t.Fatalf("%s on %s: %+v", script, h.Name, r)
	}
}

// entry waits until a daemon's book has a job with a word in its command that has ended, and gives that line.
func entry(t *testing.T, h *hosts.Host, word string) (job ledger.Job) {
	t.Helper()
	eventually(t, h.Name+" has booked "+word, func() bool {
		var jobs []ledger.Job
		if err := ctl.Query(t.Context(), h.OutsideSocket(), "jobs", &jobs); err != nil {
			t.Fatal(err)
		}
		for _, job = range jobs {
			if strings.Contains(job.Command, word) {
				return true
			}
		}
		return false
	})
	return job
}

func TestANodeWithAnotherDirectoryOrProgramRefusesAndTheJobGoesElsewhere(t *testing.T) {
	node1, node2, _ := three(t)
	program, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil string // what makes node2 unfit; $1 is the job's directory
		cwd   string // in it
		prog  string
		why   string
	}{
		"another directory":      {`mount -t tmpfs none "$1"`, "", "/bin/sh", "directory %s: another directory here"},
		"a missing directory":    {`mount -t tmpfs none "$1"`, "deep/er", "/bin/sh", "chdir %s/deep/er: no such file or directory"},
		"an unsearchable one":    {`mount -t tmpfs -o mode=000 none "$1"/deep`, "deep/er", "/bin/sh", "chdir %s/deep/er: no such file or directory"},
		"another program":        {`mount --bind /bin/true "$1"/prog`, "", "./prog", "program ./prog: another file here"},
		"a missing program":      {`mount -t tmpfs none "$1"/deep`, "", "deep/prog", "program deep/prog: no such file or directory"},
		"a program that is none": {`mount --bind "$1"/empty "$1"/prog`, "", "./prog", "program ./prog: another file here"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := place(t)
			if err := os.MkdirAll(filepath.Join(dir, "deep/er"), 0o755); err != nil {
				t.Fatal(err)
			}
			for _, f := range []string{"prog", "deep/prog"} {
				if err := os.WriteFile(filepath.Join(dir, f), program, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			write(t, filepath.Join(dir, "empty"), "")
			inside(t, node2, c.spoil, dir)
			why := c.why
			if strings.Contains(why, "%s") {
				why = fmt.Sprintf(why, dir)
			}
			mexec := func(nodes string) result {
				cmd := node1.Command("mexec", "-v", "-n", nodes, c.prog, "-c", "uname -n; exit 3", filepath.Base(dir), nodes)
				cmd.Dir = filepath.Join(dir, c.cwd)
				return run(t, cmd)
			}
			// node2 alone was wished for: the job stays here, and says why.
			r := mexec("2")
			if r.out != "node1\n" || r.code != 3 || !strings.Contains(r.errs, "mexec: here: node2 refused: "+why) {
				t.Errorf("%+v, want %q", r, why)
			}
			if j := entry(t, node1, filepath.Base(dir)+" 2"); j.Node != "node1" || j.Why != "node2 refused: "+why && !strings.HasPrefix(j.Why, "node2 refused: "+why+", after") || len(j.Turns) != 1 || j.Turns[0].Node != "node2" || j.Turns[0].Why != why {
				t.Errorf("book: %+v", j)
			}
			// Where there is another it goes there, and node2 is not asked again for the moment.
			r = mexec("2-3")
			if r.out != "node3\n" || r.code != 3 || strings.Contains(r.errs, "node2") {
				t.Errorf("%+v", r)
			}
			if !strings.HasPrefix(c.why, "program") {
				sees(t, node1, 2, "up", "has refused commands: a directory is not there, or not the same")
			}
			// Another directory is another question.
			if r := run(t, node1.Command("mexec", "-n", "2", "uname", "-n")); r.out != "node2\n" {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestWhatExecveRefusesOnANodeEndsAsItWouldHere(t *testing.T) {
	node1, _, _ := three(t)
	dir := place(t)
	write(t, filepath.Join(dir, "script"), "echo no first line: $1; exit 5\n")
	write(t, filepath.Join(dir, "bad"), "#!/nonexistent\n")
	for _, f := range []string{"script", "bad"} {
		if err := os.Chmod(filepath.Join(dir, f), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []string{"./script word", "./bad", "./nonesuch", ".", "nonesuch", "/etc/passwd"} {
		argv := append([]string{"-n", "2"}, strings.Fields(c)...)
		cmd := node1.Command("mexec", argv...)
		cmd.Dir = dir
		got := run(t, cmd)
		cmd = node1.Command("env", strings.Fields(c)...) // env(1) ends with 126 and 127 likewise
		cmd.Dir = dir
		want := run(t, cmd)
		if got.code != want.code || got.out != want.out || (got.errs == "") != (want.errs == "") {
			t.Errorf("%s: %+v, want %+v", c, got, want)
		}
	}
}

func TestRootsJobsAreRefusedUnlessTheNodeAllowsThem(t *testing.T) {
	needRoot(t)
	hs := hosts.Test(t, hosts.Config{N: 2, Slots: 2, Bin: bin, Flags: []string{"--root-jobs=false"}})
	if err := hs.WaitUp(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	node1 := hs.All[0]
	cmd := node1.Command("mexec", "-v", "-n", "2", "sh", "-c", "uname -n; exit 4")
	cmd.Dir = "/"
	r := run(t, cmd)
	if r.out != "node1\n" || r.code != 4 || !strings.Contains(r.errs, "here: node2 refused: root's jobs of other nodes are not run here (root-jobs)") {
		t.Errorf("root: %+v", r)
	}
	cmd = node1.Command("setpriv", "--reuid", "1000", "--regid", "1000", "--groups", "1000,44", "mexec", "-n", "2", "sh", "-c", "uname -n; id -u; id -G")
	cmd.Dir = "/"
	if r := run(t, cmd); r.out != "node2\n1000\n1000 44\n" {
		t.Errorf("a user: %+v", r)
	}
	// Who says that he is another stays: only what the kernel vouches for travels.
	cmd = node1.Command("setpriv", "--ruid", "1000", "mexec", "-v", "-n", "2", "uname", "-n")
	cmd.Dir = "/"
	if r := run(t, cmd); r.out != "node1\n" || !strings.Contains(r.errs, "real, effective and saved ids differ") {
		t.Errorf("mixed ids: %+v", r)
	}
}

func TestAnAddressOutsideTheAllowListIsRefused(t *testing.T) {
	needRoot(t)
	// 10.77.0.0 to .3: the hosts themselves.
	hs := hosts.Test(t, hosts.Config{N: 2, Bin: bin, Flags: []string{"10.77.0.0", "255.255.255.252"}})
	if err := hs.WaitUp(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	node1, node2 := hs.All[0], hs.All[1]
	if r := run(t, node1.Command("mexec", "-n", "2", "uname", "-n")); r.out != "node2\n" {
		t.Fatalf("members are let in: %+v", r)
	}
	token := fresh(t, node1, time.Hour)
	since := len(node1.Log())
	// From now on node2 speaks to node1 from a stranger's address.
	inside(t, node2, "ip addr add 10.77.0.9/32 dev eth0 && ip route add 10.77.0.1/32 dev eth0 src 10.77.0.9")
	r := run(t, node2.Command("mexecctl", "join", "10.77.0.1:7733", "--token", token, "--state", filepath.Join(hs.Dir, "stranger"), "--name", "stranger"))
	if r.code == 0 || strings.Count(r.errs, "\n") != 1 || !strings.HasPrefix(r.errs, "mexecctl: join 10.77.0.1:7733: ") {
		t.Errorf("join: %+v", r)
	}
	if l := says(t, node1, since, "link 10.77.0.9:", "refused: not in the allow list"); !strings.Contains(l, "level=WARN") {
		t.Error(l)
	}
	if _, err := os.Stat(filepath.Join(hs.Dir, "stranger")); err == nil {
		t.Error("a refused machine got a state directory")
	}
}

func TestLoopbackIsAlwaysAllowed(t *testing.T) {
	hs := hosts.Test(t, hosts.Config{N: 2, Loopback: true, Bin: bin, Flags: []string{"192.0.2.0", "255.255.255.0"}})
	if err := hs.WaitUp(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if r := run(t, hs.All[0].Command("mexec", "-v", "-n", "2", "true")); r.code != 0 || !strings.HasPrefix(r.errs, "mexec: node2: ") {
		t.Errorf("%+v", r)
	}
}
