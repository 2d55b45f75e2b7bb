package system_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"mexec/test/hosts"
)

func TestLabelsSayWhichNodesMayRunACommand(t *testing.T) {
	needRoot(t)
	hs := hosts.Test(t, hosts.Config{N: 3, Slots: 2, Bin: bin})
	for i, labels := range []string{"", `"gpu", "ssd"`, `"ssd"`} {
		h := hs.All[i]
		write(t, h.Config(), fmt.Sprintf("labels = [%s]\n", labels))
		if err := h.KillDaemon(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := h.StartDaemon(); err != nil {
			t.Fatal(err)
		}
	}
	if err := hs.WaitUp(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	eventually(t, "node1 knows the labels of this life of each", func() bool {
		nodes, err := hs.All[0].Nodes(t.Context())
		return err == nil && nodes[1].Labels == "gpu,ssd" && nodes[2].Labels == "ssd"
	})
	for _, c := range []struct{ home, wish, where string }{
		{"node1", "label:gpu", "node2"},
		{"node1", "label:ssd+3", "node3"},
		{"node1", "label:gpu+label:ssd", "node2"},
		{"node2", "label:gpu", "node2"},
		{"node1", "label:fpga", "node1"},
	} {
		h := hs.All[c.home[4]-'1']
		cmd := h.Command("mexec", "-v", "sh", "-c", "read n </proc/sys/kernel/hostname; echo $n")
		cmd.Env = append(cmd.Env, "NODES="+c.wish)
		r := run(t, cmd)
		if r.code != 0 || r.out != c.where+"\n" {
			t.Errorf("NODES=%s on %s: %+v", c.wish, c.home, r)
		}
		if c.wish == "label:fpga" && r.errs != "mexec: here: no node of NODES=label:fpga is up and takes it\n" {
			t.Errorf("nobody has it: %q", r.errs)
		}
	}
	if r := run(t, hs.All[0].Command("mexec", "-n", "label:", "true")); r.code != 125 || !strings.Contains(r.errs, `NODES "label:": label "": empty`) {
		t.Errorf("a bad wish: %+v", r)
	}
	if r := run(t, hs.All[0].Command("mexecctl", "nodes")); !strings.Contains(r.out, "LABELS") || !strings.Contains(r.out, "gpu,ssd") {
		t.Errorf("nodes: %+v", r)
	}
}
