package system_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"mexec/test/hosts"
)

// Go's monitor thread sleeps for 20 µs at a time while a daemon works: ten times per command, where nothing is done about it.
func TestTheRuntimesMonitorSleepsLessOftenThanCommandsCome(t *testing.T) {
	node1, node2, _ := three(t)
	const commands = 200
	before := monitorSleeps(t, node2)
	if r := run(t, sh(node1, fmt.Sprintf("for i in $(seq %d); do mexec -n node2 true || exit; done", commands))); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if slept := monitorSleeps(t, node2) - before; slept > 4*commands {
		t.Errorf("%d times, for %d commands", slept, commands)
	}
}

// monitorSleeps is how often the second thread of a host's daemon has given up the CPU of its own will.
func monitorSleeps(t *testing.T, h *hosts.Host) (n int) {
	t.Helper()
	dir, err := os.Open(fmt.Sprintf("/proc/%d/task", h.Daemon()))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	threads, err := dir.Readdirnames(2)
	if err != nil || len(threads) < 2 {
		t.Fatal(threads, err)
	}
	status, err := os.ReadFile(dir.Name() + "/" + threads[1] + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "\nvoluntary_ctxt_switches:")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
