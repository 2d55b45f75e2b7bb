package system_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"mexec/internal/monitor"
)

func TestWhyTellsOfACommandThatWentAwayAndOfOneThatStayed(t *testing.T) {
	node1, _, _ := three(t)
	mark := filepath.Base(t.TempDir()) + t.Name()
	for _, c := range []struct {
		nodes string
		want  []string
	}{
		{"2", []string{"sh -c exit 3 " + mark + " 2", " ran node2, ", " ended exit status 3 after "}},
		{"1", []string{"sh -c exit 3 " + mark + " 1", " ran here, ", " ended after "}},
		{"label:none", []string{" ran here, ", "no node of NODES=label:none is up and takes it"}},
	} {
		if r := run(t, node1.Command("mexec", "-n", c.nodes, "sh", "-c", "exit 3", mark, c.nodes)); r.code != 3 {
			t.Fatalf("%+v", r)
		}
		var r result
		eventually(t, "the book has its end", func() bool {
			r = run(t, node1.Command("mexecctl", "why", mark, c.nodes))
			return strings.Contains(r.out, "\nended ")
		})
		said := strings.Join(strings.Fields(r.out), " ")
		for _, want := range c.want {
			if r.code != 0 || !strings.Contains(said, want) {
				t.Errorf("no %q in %+v", want, r)
			}
		}
	}
	// Without a word it is the last one. Another user has none.
	if r := run(t, node1.Command("mexecctl", "why")); !strings.Contains(r.out, mark+" label:none") {
		t.Errorf("%+v", r)
	}
	r := run(t, node1.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "mexecctl", "why", mark))
	if r.code != 1 || !strings.Contains(r.errs, "no command of yours with these words") {
		t.Errorf("another user: %+v", r)
	}
}

// Why is everything local? Commands that the shim keeps are known to mpmake alone.
func TestWhyOfTheLastBuildNamesWhatStayedAndWhy(t *testing.T) {
	node1, _, _ := three(t)
	dir, cache := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "Makefile"), "all: a b c\na b c:\n\t@sh -c 'i=0; while [ $$i -lt 20000 ]; do i=$$((i+1)); done' $@\n\t@git --version >/dev/null\n")
	write(t, filepath.Join(dir, ".mexec.toml"), "local = [\"git\"]\n")
	cmd := node1.Command("mpmake", "--quiet", "-j3")
	cmd.Dir, cmd.Env = dir, append(cmd.Env, "XDG_CACHE_HOME="+cache)
	if r := run(t, cmd); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	why := func(args ...string) result {
		cmd := node1.Command("mexecctl", append([]string{"why", "--last-build"}, args...)...)
		cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+cache)
		return run(t, cmd)
	}
	r := why()
	for _, want := range []string{"mpmake: make", "in " + dir + ", ", "STAYED HERE, AND WHY", "SLOWEST"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s%s", want, r.out, r.errs)
		}
	}
	t.Log("\n" + r.out)
	var rec monitor.Record
	if err := json.Unmarshal([]byte(why("--json").out), &rec); err != nil || rec.Placed+rec.Kept < 6 || rec.Placed < 3 {
		t.Errorf("%+v, %v", rec, err)
	}
	// The same build as a trace has each command that was placed, with what it used here, too.
	cmd = node1.Command("mexecctl", "trace", "--last-build")
	cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+cache)
	n := 0
	for d := json.NewDecoder(strings.NewReader(run(t, cmd).out)); d.More(); n++ {
		var l monitor.JobLine
		if err := d.Decode(&l); err != nil || l.Wall <= 0 || l.CPU <= 0 || l.Kind == "" || l.Build != string(rec.Build) {
			t.Errorf("%+v, %v", l, err)
		}
	}
	if n != rec.Placed {
		t.Errorf("%d lines of %d commands", n, rec.Placed)
	}
	if r := run(t, node1.Command("mexecctl", "trace", "--last", "3")); r.code != 0 || strings.Count(r.out, "\n") != 3 {
		t.Errorf("the last three: %+v", r)
	}
}
