package projects_test

import (
	"context"
	"testing"
	"time"

	"mexec"
	"mexec/internal/ctl"
	"mexec/internal/ledger"
	"mexec/test/hosts"
)

// account is what each host has used, without its daemon.
type account map[mexec.NodeID]time.Duration

func read(t *testing.T, hs *hosts.Hosts) account {
	t.Helper()
	a := account{}
	for _, h := range hs.All {
		all, err := h.CPU()
		if err != nil {
			t.Fatal(err)
		}
		daemon, err := h.DaemonCPU()
		if err != nil {
			t.Fatal(err)
		}
		a[mexec.NodeID(h.Name)] = all - daemon
	}
	return a
}

func (a account) since(before account) account {
	d := account{}
	for node, used := range a {
		d[node] = used - before[node]
	}
	return d
}

func (a account) sum() (all time.Duration) {
	for _, used := range a {
		all += used
	}
	return all
}

// most is the largest share of a node, as a multiple of its fair one.
func (a account) most() float64 {
	var most time.Duration
	for _, used := range a {
		most = max(most, used)
	}
	return float64(most) * float64(len(a)) / float64(a.sum())
}

// placed is the CPU time of the commands that we placed, by the node where they ran, and their number.
func placed(t *testing.T, home *hosts.Host, since time.Time) (commands int, used account) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var jobs []ledger.Job
	if err := ctl.Query(ctx, home.OutsideSocket(), "jobs", &jobs); err != nil {
		t.Fatal(err)
	}
	used = account{}
	for _, j := range jobs {
		if j.Received.Before(since) {
			continue
		}
		commands++
		used[j.Node] += j.Usage.User + j.Usage.System
	}
	return commands, used
}
