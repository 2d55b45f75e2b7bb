package system_test

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mexec"
	"mexec/test/hosts"
)

// The hosts of a test share one machine, and each takes what the others do for its owner's: here that is what is wanted.
func TestAnOwnerAtWorkLeavesOthersLess(t *testing.T) {
	needRoot(t)
	hs := hosts.Test(t, hosts.Config{N: 2, Slots: 4, Bin: bin})
	node1, node2 := hs.All[0], hs.All[1]
	write(t, node2.Config(), "owner-first = true\nguest-nice = 7\n")
	if err := node2.KillDaemon(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := node2.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	if err := hs.WaitUp(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	for range runtime.NumCPU() {
		background(t, node2.Command("sh", "-c", "while :; do :; done"))
	}
	// The link brings the reason, and there is one only where something is wanted.
	var seen mexec.Node
	eventually(t, "node1 sees that node2's owner is at work", func() bool {
		run(t, node1.Command("mexec", "-n", "2", "true"))
		nodes, err := node1.Nodes(t.Context())
		seen = nodes[1]
		return err == nil && seen.Slots == 1
	})
	if seen.State != mexec.Up || !strings.HasPrefix(seen.Why, "owner: ") || !strings.HasSuffix(seen.Why, fmt.Sprintf(" of %d CPUs busy", runtime.NumCPU())) {
		t.Errorf("%+v", seen)
	}
	// One at a time, and each is nice; the owner's own commands have all the slots.
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	var ends []func() result
	for range 3 {
		ends = append(ends, background(t, node1.Command("mexec", "-n", "2", "sh", "-c", timed+`; nice`, "timed", log, "x")))
	}
	mine, _ := strconv.Atoi(strings.TrimSpace(run(t, node1.Command("nice")).out))
	for _, end := range ends {
		if r := end(); r.code != 0 || r.out != fmt.Sprintln(min(19, mine+7)) {
			t.Errorf("%+v, and the caller's nice value is %d", r, mine)
		}
	}
	now, most := 0, 0
	for line := range strings.Lines(read(t, log)) {
		if line[0] == '+' {
			now++
		} else {
			now--
		}
		most = max(most, now)
	}
	if most != 1 {
		t.Errorf("%d commands of others at once", most)
	}
	file := filepath.Join(dir, "own")
	for range 4 {
		background(t, node2.Command("mexec", "-n", "2", "sh", "-c", counted, "counted", file, file+".go"))
	}
	eventually(t, "four commands of node2's own run there", func() bool { return len(runs(file)) == 4 })
	write(t, file+".go", "")
}
