package journal_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mexec"
	"mexec/internal/journal"
)

// need finds a program that another target builds.
func need(t *testing.T, path, by string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../..", path))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Skipf("%s has not built it: %v", by, err)
	}
	return path
}

func open(t *testing.T) *journal.Journal {
	t.Helper()
	j, err := journal.Open("b7")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// The writers go round the ring several times while it is read: what comes is whole, comes once, and what does not come is counted.
func TestARingThatIsOverrunIsNeverMisread(t *testing.T) {
	const processes, each = 6, 60000
	load := need(t, "tmp/libmexec/journal_load", "make -C libmexec test")
	j := open(t)
	cmd := exec.Command(load, j.Name(), "b7", strconv.Itoa(processes), strconv.Itoa(each))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- cmd.Wait() }()
	seen, got := map[[2]int]bool{}, 0
	check := func(e mexec.Event) {
		var process, n int
		switch e.Kind {
		case mexec.Kept:
			number, filler, _ := strings.Cut(e.Command, " ")
			p, i, _ := strings.Cut(number, ".")
			process, _ = strconv.Atoi(p)
			n, _ = strconv.Atoi(i)
			if want := strings.Repeat(strconv.Itoa(n%10), n%200); filler != want[:min(len(want), 95-len(number)-1)] {
				t.Fatalf("%+v", e)
			}
		case mexec.Reaped:
			process, n = e.PID, int(e.Usage.MaxRSS)
			if e.Usage != (mexec.Usage{User: seconds(process, n), System: seconds(n, process), MaxRSS: int64(n)}) {
				t.Fatalf("%+v", e)
			}
		}
		if process != e.PID || process < 1 || process > processes || n >= each || seen[[2]int{process, n}] {
			t.Fatalf("%+v", e)
		}
		seen[[2]int{process, n}] = true
		got++
	}
	for ended := false; !ended; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			ended = true
		default:
		}
		for _, e := range j.Read(ended) {
			check(e)
		}
	}
	t.Logf("%d records, %d gaps", got, j.Gaps())
	// The begin of the driver and its copies are records too; whether they were among the lost, nobody knows.
	if all := got + j.Gaps(); all < processes*each || all > processes*each+processes+1 {
		t.Errorf("%d of %d", all, processes*each)
	}
}

func seconds(s, us int) time.Duration {
	return time.Duration(s)*time.Second + time.Duration(us)*time.Microsecond
}
