package system_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mexec/test/hosts"
)

// timed is a job that notes in the file $1, for $2, when it begins and ends.
const timed = `echo "+ $2" >>"$1"; sleep 0.05; echo "- $2" >>"$1"`

// stubs counts the commands of a host that have been handed over and have not ended.
func stubs(h *hosts.Host) (n int) {
	for _, pid := range living(network(h), "PATH=") {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if string(comm) == "mexec\n" && state(fmt.Sprint(pid)) == 'S' {
			n++
		}
	}
	return n
}

func TestTwoHomesShareAWorkerFairlyAndNeverOverloadIt(t *testing.T) {
	needRoot(t)
	hs := hosts.Test(t, hosts.Config{N: 3, Slots: 2, Bin: bin})
	const each = 40
	share := contend(t, hs, each, func(h *hosts.Host, script string, arg ...string) *exec.Cmd { return sh(h, script, arg...) })
	if share < each*3/10 || share > each*7/10 {
		t.Errorf("of the first %d jobs %d were those of home1", each, share)
	}
}

func TestAUserOfThreeTimesTheWeightGetsThreeTimesTheSlots(t *testing.T) {
	needRoot(t)
	hs := hosts.Test(t, hosts.Config{N: 3, Slots: 2, Bin: bin})
	node3 := hs.All[2]
	write(t, node3.Config(), "weights = ['1001=3']\n")
	if err := node3.KillDaemon(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := node3.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	const each = 40
	share := contend(t, hs, each, func(h *hosts.Host, script string, arg ...string) *exec.Cmd {
		uid := "1001"
		if h != hs.All[0] {
			uid = "1002"
		}
		return h.Command("setpriv", append([]string{"--reuid", uid, "--regid", uid, "--clear-groups", "sh", "-c", script, "sh"}, arg...)...)
	})
	if share < each*6/10 || share > each*9/10 {
		t.Errorf("of the first %d jobs %d were those of the user of weight 3", each, share)
	}
}

// contend lets home1 and home2 start each jobs for node 3, which begin at once, and says how many of the first each were those of home1. While both have jobs that wait,
// that is its share.
func contend(t *testing.T, hs *hosts.Hosts, each int, command func(h *hosts.Host, script string, arg ...string) *exec.Cmd) (share int) {
	t.Helper()
	if err := hs.WaitUp(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(hs.Dir, "contend")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	log, gate := filepath.Join(dir, "log"), filepath.Join(dir, "go")
	write(t, log, "")
	if err := os.Chmod(log, 0o666); err != nil {
		t.Fatal(err)
	}
	hold := func() func() result {
		return background(t, hs.All[0].Command("mexec", "-n", "3", "sh", "-c", counted, "counted", filepath.Join(dir, "held"), gate))
	}
	holders := []func() result{hold(), hold()}
	eventually(t, "both slots are taken", func() bool { return len(runs(filepath.Join(dir, "held"))) == 2 })
	var homes []func() result
	for i, h := range hs.All[:2] {
		script := `for i in $(seq "$1"); do mexec -n 3 sh -c "$2" timed "$3" "$4" & done; wait`
		cmd := command(h, script, fmt.Sprint(each), timed, log, fmt.Sprint("home", i+1))
		cmd.Dir = dir
		homes = append(homes, background(t, cmd))
	}
	eventually(t, "all jobs of both homes wait", func() bool { return stubs(hs.All[0]) == 2+each && stubs(hs.All[1]) == each })
	write(t, gate, "")
	for _, end := range append(holders, homes...) {
		if r := end(); r.code != 0 || r.errs != "" {
			t.Errorf("%+v", r)
		}
	}
	now, most := 0, 0
	var order []string
	for line := range strings.Lines(read(t, log)) {
		if home, ok := strings.CutPrefix(line, "+ "); ok {
			now++
			order = append(order, strings.TrimSpace(home))
		} else {
			now--
		}
		most = max(most, now)
	}
	if most > 2 || len(order) != 2*each {
		t.Fatalf("%d jobs ran, %d at once on 2 slots", len(order), most)
	}
	for _, home := range order[:each] {
		if home == "home1" {
			share++
		}
	}
	return share
}

// News of who is busy is a second old: of commands that come faster than that, all would go to the node that was free. The original kept a
// directory of those that it had just sent.
func TestCommandsStartedAtOnceDoNotHerd(t *testing.T) {
	node1, _, _ := three(t)
	dir := place(t)
	log, gate := filepath.Join(dir, "log"), filepath.Join(dir, "go")
	run(t, sh(node1, "mexec -n 2 true; mexec -n 3 true")) // the links stand
	end := background(t, sh(node1, `for i in 1 2 3 4; do mexec -n 2,3 sh -c "$1" counted "$2" "$3" & done; wait`, counted, log, gate))
	eventually(t, "all four run", func() bool { return len(runs(log)) == 4 })
	write(t, gate, "")
	if r := end(); r.code != 0 || r.errs != "" {
		t.Errorf("%+v", r)
	}
	on := make(map[string]int)
	for _, node := range runs(log) {
		on[node]++
	}
	if len(on) != 2 {
		t.Errorf("of two nodes that have four slots each run: %v", on)
	}
}

// A command that calls mexec waits for what it calls, however deep: if each held its slot, they would wait for ever.
func TestCommandsThatCallCommandsDoNotWaitForTheirOwnSlots(t *testing.T) {
	needRoot(t)
	hs := hosts.Test(t, hosts.Config{N: 2, Slots: 1, Bin: bin})
	if err := hs.WaitUp(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	// $1 levels below, $2 the way in which each calls the next, $3 NODES for it.
	const recursive = `if [ "$1" = 0 ]; then exec echo deep; fi
case $2 in
child) mexec -n "$3" sh -c "$0" "$0" $(($1 - 1)) $2 "$3"; exit ;;
exec) exec mexec -n "$3" sh -c "$0" "$0" $(($1 - 1)) $2 "$3" ;;
pipe) echo x | mexec -n "$3" sh -c "$0" "$0" $(($1 - 1)) $2 "$3" | cat ;;
session) setsid -w mexec -n "$3" sh -c "$0" "$0" $(($1 - 1)) $2 "$3" ;;
esac`
	for _, way := range []string{"child", "exec", "pipe", "session"} {
		for _, nodes := range []string{"1", "2", "1,2"} {
			t.Run(way+" on "+nodes, func(t *testing.T) {
				var ends []func() result
				for range 4 {
					ends = append(ends, background(t, hs.All[0].Command("mexec", "-n", nodes, "sh", "-c", recursive, recursive, "4", way, nodes)))
				}
				for _, end := range ends {
					if r := end(); r.code != 0 || r.out != "deep\n" {
						t.Errorf("%+v", r)
					}
				}
			})
		}
	}
}

// NODES may name nodes that are down: killed, which their machines tell at once, or cut off, which nobody tells.
func TestDownNodesCostASmallDelayOnceAndFailNoJob(t *testing.T) {
	needRoot(t)
	hs := hosts.Test(t, hosts.Config{N: 4, Slots: 1, Bin: bin})
	if err := hs.WaitUp(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	job := func(nodes string) time.Duration {
		start := time.Now()
		if r := run(t, hs.All[0].Command("mexec", "-n", nodes, "true")); r.code != 0 || r.errs != "" {
			t.Errorf("NODES=%s: %+v", nodes, r)
		}
		return time.Since(start)
	}
	job("2-4") // some links stand
	// What a home holds a slot for is sent at once, and what is sent to a node that is cut off is lost.
	eventually(t, "node3's slot is nobody's", func() bool {
		nodes, err := hs.All[2].Nodes(t.Context())
		return err == nil && nodes[2].Busy == 0
	})
	if err := hs.All[3].KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := hs.All[2].Cut(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		nodes string
		once  time.Duration // what all together may cost beyond a job's own time
	}{
		{"2-4", time.Second},
		{"4,2", time.Second},
		{"4", time.Second},
		{"1-4", time.Second},
		{"3", keepAlive + time.Second}, // a link stood: silence must last its time before it means anything
		{"3,4", time.Second},
	} {
		var all []time.Duration
		total := time.Duration(0)
		for range 10 {
			d := job(c.nodes)
			all, total = append(all, d), total+d
		}
		t.Logf("NODES=%s: %v", c.nodes, all)
		if total > c.once+10*100*time.Millisecond {
			t.Errorf("NODES=%s: 10 jobs took %v: %v", c.nodes, total, all)
		}
	}
}
