package ctl

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mexec"
	"mexec/internal/ledger"
	"mexec/internal/monitor"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// asked runs mexecctl why at one second past noon, with a cache of its own.
func asked(t *testing.T, cache string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), Env{
		Args: args, Stdout: &stdout, Stderr: &stderr,
		Getenv: func(k string) string {
			return map[string]string{"XDG_CACHE_HOME": cache, "MEXEC_SOCKET": "/nonexistent/socket"}[k]
		},
		Now: func() time.Time { return noon.Add(time.Second) },
	})
	return code, stdout.String(), stderr.String()
}

func TestWhyTellsTheStoryOfAJob(t *testing.T) {
	at := func(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }
	late := 300 * time.Millisecond
	base := ledger.Job{ID: 4711, Command: "cc -O2 -c parser.c -o parser.o", Caller: ledger.Caller{UID: 1000, PID: 4242, Dir: "/src/x"}, Received: noon}
	job := func(change func(*ledger.Account)) ledger.Account {
		a := ledger.Account{Job: base, Home: "node1"}
		change(&a)
		return a
	}
	for _, c := range []struct {
		name string
		job  ledger.Account
	}{
		{"away", job(func(a *ledger.Account) {
			a.State, a.Node, a.Why = ledger.Ended, "node3", "first free slot: 6 of 8 in use by this node, after 14ms"
			a.Started, a.Ended = at(14), at(1214)
			a.Usage = mexec.Usage{User: time.Second, System: 100 * time.Millisecond, MaxRSS: 45_000}
			a.Turns = []ledger.Turn{{At: at(5), Node: "node2", Why: "not the same directory"}}
			a.Considered = []ledger.Candidate{
				{Node: "node3", Cost: 1300 * time.Millisecond, Why: "first free slot"}, {Node: "node1", Cost: 2900 * time.Millisecond, Why: "3 commands wait here"},
				{Node: "node2", Why: "refused: not the same directory"},
			}
		})},
		{"here", job(func(a *ledger.Account) {
			a.State, a.Node, a.Why = ledger.Ended, "node1", "a free slot here: 1 of 4 in use by this node"
			a.Started, a.Ended, a.Late = at(0), at(2000), &late
		})},
		{"waits", job(func(a *ledger.Account) { a.Command = "evil \x1b[2J \u009b\n" })},
		{"runs", job(func(a *ledger.Account) {
			a.State, a.Node, a.Why, a.Started = ledger.Running, "node2", "first free slot", at(3)
		})},
		{"gone", job(func(a *ledger.Account) { a.State, a.Ended = ledger.Withdrawn, at(500) })},
		{"lost", job(func(a *ledger.Account) {
			a.State, a.Node, a.Why, a.Started, a.Ended, a.Cause = ledger.Lost, "node2", "first free slot", at(3), at(5003), "nothing heard for the keep-alive time"
		})},
	} {
		socket, queries := answers(t, c.job)
		code, out, errs := asked(t, "", "why", "parser.c", "-o", "--socket", socket)
		if code != 2 || out != "" || !strings.Contains(errs, "unknown shorthand flag") {
			t.Errorf("a flag among the words: %d, %s%s", code, out, errs)
		}
		code, out, errs = asked(t, "", "why", "--socket", socket, "--", "parser.c", "-o")
		if code != 0 || errs != "" || !slices.Equal(queries(), []string{"why parser.c -o"}) {
			t.Errorf("%s: %d, %s, asked %q", c.name, code, errs, queries())
		}
		golden(t, "why-"+c.name, out)
		code, out, errs = asked(t, "", "why", "--socket", socket, "--json")
		var again ledger.Account
		if err := json.Unmarshal([]byte(out), &again); code != 0 || errs != "" || err != nil || again.ID != 4711 || again.State != c.job.State {
			t.Errorf("%s: %d, %s%s", c.name, code, out, errs)
		}
	}
}

func TestWhyOfAnUnknownJobIsOneLine(t *testing.T) {
	socket, _ := answers(t, errors.New("why: no job 7, and no command of yours with these words, is remembered here"))
	code, out, errs := asked(t, "", "why", "7", "--socket", socket)
	if code != 1 || out != "" || errs != "mexecctl: why: no job 7, and no command of yours with these words, is remembered here\n" {
		t.Errorf("%d, %s%s", code, out, errs)
	}
}

func TestWhyOfTheLastBuildIsReadFromWhatItLeft(t *testing.T) {
	cache := t.TempDir()
	file := Cached(func(string) string { return cache }, LastBuild)
	code, out, errs := asked(t, cache, "why", "--last-build")
	if code != 1 || out != "" || errs != "mexecctl: why: no build is remembered in "+file+": mpmake and mprun do that when they end\n" {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	r := monitor.Record{Name: "mpmake", Command: "make all", Dir: "/src/x", Began: noon.Add(-time.Minute), Elapsed: 10 * time.Second, Placed: 3, Away: 3}
	b, _ := json.Marshal(r)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs = asked(t, cache, "why", "--last-build")
	if code != 0 || errs != "" || out != r.Text(noon.Add(time.Second)) || !strings.HasPrefix(out, "mpmake: make all\nin /src/x, 51 s ago: 3 commands in 10.0 s\n") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	code, out, errs = asked(t, cache, "why", "--last-build", "--json")
	var again monitor.Record
	if err := json.Unmarshal([]byte(out), &again); code != 0 || errs != "" || err != nil || again.Placed != 3 {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	if code, _, errs = asked(t, cache, "why", "--last-build", "7"); code != 2 || errs != "mexecctl: why: --last-build and a command: which of both?\n" {
		t.Errorf("%d, %s", code, errs)
	}
	os.WriteFile(file, []byte("{"), 0o600)
	if code, _, errs = asked(t, cache, "why", "--last-build"); code != 1 || !strings.HasPrefix(errs, "mexecctl: why "+file+": ") {
		t.Errorf("%d, %s", code, errs)
	}
}
