package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mexec"
	"mexec/internal/ledger"
	"mexec/internal/monitor"
)

func endedJob(id mexec.JobID, asked, took time.Duration) ledger.Job {
	return ledger.Job{
		ID: id, Build: "b", Command: "cc -O2 -Iinc -c a.c -o a.o", State: ledger.Ended, Node: "node2",
		Received: noon.Add(asked), Started: noon.Add(asked + time.Millisecond), Ended: noon.Add(asked + time.Millisecond + took),
		Usage: mexec.Usage{User: took / 2, MaxRSS: 1000},
	}
}

func lines(t *testing.T, text string) (all []monitor.JobLine) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	for d.More() {
		var l monitor.JobLine
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// It was taken for none: a live trace, which waits for Ctrl-C.
func TestTraceOfNoCommandsIsAnError(t *testing.T) {
	for _, n := range []string{"0", "-1"} {
		code, out, errs := asked(t, "", "trace", "--last", n, "--socket", "/nonexistent")
		if want := "mexecctl: trace: --last " + n + ": not a number from 1\n"; code != 2 || out != "" || errs != want {
			t.Errorf("%d, %s%s", code, out, errs)
		}
	}
}

func TestTraceOfTheLastCommandsBeginsWithTheFirstOfThem(t *testing.T) {
	withdrawn := ledger.Job{ID: 4, State: ledger.Withdrawn, Received: noon}
	all := ledger.Tail{Next: 4, Jobs: []ledger.Job{endedJob(1, 0, time.Second), endedJob(3, 3*time.Second, time.Second), endedJob(2, 2*time.Second, 4*time.Second), withdrawn}}
	socket, asks := answers(t, all)
	code, out, errs := asked(t, "", "trace", "--last", "2", "--socket", socket)
	got := lines(t, out)
	if code != 0 || errs != "" || len(got) != 2 || strings.Join(asks(), " ") != "ended 0" {
		t.Fatalf("%d, %s, %+v, asked %q", code, errs, got, asks())
	}
	want := monitor.JobLine{At: time.Second, Wall: time.Second, CPU: time.Second / 2, Memory: 1000 << 10, Build: "b", Kind: "cc -O -I -c -o",
		Command: "cc -O2 -Iinc -c a.c -o a.o", Node: "node2"}
	if got[0].At != 0 || got[0].Wall != 4*time.Second || got[1] != want {
		t.Errorf("%+v", got)
	}
	file := filepath.Join(t.TempDir(), "f")
	code, out, errs = asked(t, "", "trace", file, "--last", "9", "--socket", socket)
	if b, _ := os.ReadFile(file); code != 0 || out != "" || errs != "3 commands in "+file+"\n" || len(lines(t, string(b))) != 3 {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	if code, _, errs = asked(t, "", "trace", file, "--last", "9", "--socket", socket); code != 1 || !strings.Contains(errs, "file exists") {
		t.Errorf("a file that is there: %d, %s", code, errs)
	}
	if code, _, errs = asked(t, "", "trace", "--last", "9", "--last-build"); code != 2 || !strings.Contains(errs, "which of both?") {
		t.Errorf("%d, %s", code, errs)
	}
}

func TestALiveTraceHasWhatWasAskedForSinceItBegan(t *testing.T) {
	socket, asks := answers(t, ledger.Tail{Next: 7, Jobs: []ledger.Job{endedJob(1, 0, 1)}},
		ledger.Tail{Next: 9, Jobs: []ledger.Job{endedJob(2, 500*time.Millisecond, time.Second), endedJob(3, 2*time.Second, time.Second)}},
		ledger.Tail{Next: 9})
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs bytes.Buffer
	code := make(chan int)
	go func() {
		code <- Run(ctx, Env{Args: []string{"trace", "--socket", socket}, Stdout: &out, Stderr: &errs,
			Getenv: func(string) string { return "" }, Now: func() time.Time { return noon.Add(time.Second) }})
	}()
	for deadline := time.Now().Add(20 * time.Second); len(asks()) < 3 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
	}
	cancel()
	if c := <-code; c != 0 || errs.Len() > 0 {
		t.Errorf("%d, %s", c, errs.String())
	}
	if got := lines(t, out.String()); len(got) != 1 || got[0].At != time.Second || asks()[1] != "ended 7" || asks()[2] != "ended 9" {
		t.Errorf("%+v, asked %q", got, asks())
	}
}

func TestATraceOfTheLastBuildIsWhatItLeft(t *testing.T) {
	cache := t.TempDir()
	file := Cached(func(string) string { return cache }, LastBuildTrace)
	code, out, errs := asked(t, cache, "trace", "--last-build")
	if code != 1 || out != "" || errs != "mexecctl: trace: no build is remembered in "+file+": mpmake and mprun do that when they end\n" {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	os.MkdirAll(filepath.Dir(file), 0o700)
	os.WriteFile(file, []byte("{\"at\":1}\n{\"at\":2}\n"), 0o600)
	if code, out, errs = asked(t, cache, "trace", "--last-build"); code != 0 || errs != "" || len(lines(t, out)) != 2 {
		t.Errorf("%d, %s%s", code, out, errs)
	}
}
