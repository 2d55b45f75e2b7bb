package system_test

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mexec"
	"mexec/test/hosts"
)

// sees waits until a host sees another one in a state, for a reason.
func sees(t *testing.T, h *hosts.Host, number int, state mexec.NodeState, why string) {
	t.Helper()
	eventually(t, h.Name+" sees "+string(state)+" "+why, func() bool {
		nodes, err := h.Nodes(t.Context())
		return err == nil && slices.ContainsFunc(nodes, func(n mexec.Node) bool { return n.Number == number && n.State == state && n.Why == why })
	})
}

// said runs mexecctl on a host and wants these words on stdout.
func said(t *testing.T, h *hosts.Host, want string, args ...string) {
	t.Helper()
	if r := run(t, h.Command("mexecctl", args...)); r.code != 0 || r.errs != "" || strings.TrimSpace(r.out) != want {
		t.Errorf("mexecctl %q: %+v", args, r)
	}
}

func TestADrainedNodeEndsWhatItHasAndTakesNothingNew(t *testing.T) {
	node1, node2, node3 := three(t)
	t.Cleanup(func() { run(t, node2.Command("mexecctl", "undrain")) })
	dir := t.TempDir()
	guest, gate := filepath.Join(dir, "guest"), filepath.Join(dir, "go")
	end := background(t, node1.Command("mexec", "-n", "2", "sh", "-c", counted, "counted", guest, gate))
	if on := began(t, guest); on != "node2" {
		t.Fatalf("it runs on %s", on)
	}
	said(t, node2, "draining (a new disk): 1 command of other nodes still here", "drain", "--why", "a new disk")
	// Nothing new from this moment on, wherever the news have come: not by grants that are still out either.
	for range 8 {
		if r := run(t, node1.Command("mexec", "-v", "-n", "2,3", "sh", "-c", "read n </proc/sys/kernel/hostname; echo $n")); r.code != 0 || r.out != "node3\n" {
			t.Fatalf("%+v", r)
		}
	}
	sees(t, node1, 2, mexec.Draining, "a new disk")
	sees(t, node3, 2, mexec.Draining, "a new disk")
	sees(t, node2, 2, mexec.Self, "draining: a new disk")
	if r := run(t, node1.Command("mexec", "-v", "-n", "2", "true")); r.code != 0 || r.errs != "mexec: here: no node of NODES=2 is up and takes it\n" {
		t.Errorf("a wish for it alone: %+v", r)
	}
	// Its own commands are no guests.
	if r := run(t, node2.Command("mexec", "-v", "true")); r.code != 0 || !strings.HasPrefix(r.errs, "mexec: here: a free slot here") {
		t.Errorf("its own: %+v", r)
	}
	waited := background(t, node2.Command("mexecctl", "drain", "--wait"))
	write(t, gate, "")
	if r := waited(); r.code != 0 || !strings.HasSuffix(r.out, "draining (a new disk): no command of another node runs here\n") {
		t.Errorf("drain --wait: %+v", r)
	}
	if r := end(); r.code != 0 || r.errs != "" {
		t.Errorf("the guest: %+v", r)
	}
	// A restart changes nothing.
	if err := node2.KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := node2.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	sees(t, node2, 2, mexec.Self, "draining: a new disk")
	sees(t, node1, 2, mexec.Draining, "a new disk")
	said(t, node2, "takes commands of other nodes", "undrain", "node2")
	sees(t, node1, 2, mexec.Up, "")
	eventually(t, "it gets commands again", func() bool {
		return strings.HasPrefix(run(t, node1.Command("mexec", "-v", "-n", "2", "true")).errs, "mexec: node2: ")
	})
}

func TestOnlyRootDrainsANodeAndOnlyThere(t *testing.T) {
	node1, node2, _ := three(t)
	r := run(t, node1.Command("mexecctl", "drain", "node2"))
	if r.code != 1 || r.errs != "mexecctl: drain: node2 is not this node, and only its own daemon can do that: run this there: mexecctl drain\n" {
		t.Errorf("another node: %+v", r)
	}
	cmd := node2.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "mexecctl", "drain")
	if r := run(t, cmd); r.code != 1 || r.errs != "mexecctl: drain: only root may do that, not uid 65534\n" {
		t.Errorf("another user: %+v", r)
	}
	sees(t, node2, 2, mexec.Self, "")
}
