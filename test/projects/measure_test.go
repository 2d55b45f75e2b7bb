package projects_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"mexec"
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
		d[node] = max(0, used-before[node]) // two clocks make what did nothing a microsecond less than that
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

// told is what mpmake's or mprun's own trace says of a build.
type told struct {
	commands int                      // that were placed
	placed   account                  // the CPU time of these, by the node where they ran
	kept     map[string]time.Duration // that of those that stayed with the tool, by the reason
}

// readTrace reads the file that MEXEC_TRACE has named: a process for each node, and a slice for each command.
func readTrace(t *testing.T, name string) told {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var trace struct {
		TraceEvents []struct {
			Name, Cat, Ph string
			Pid           int
			Args          struct {
				Name string
				Why  string
				CPU  float64 `json:"cpu_s"`
			}
		}
	}
	if err := json.Unmarshal(text, &trace); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	nodes := map[int]mexec.NodeID{}
	is := told{placed: account{}, kept: map[string]time.Duration{}}
	for _, e := range trace.TraceEvents {
		used := time.Duration(e.Args.CPU * float64(time.Second))
		switch {
		case e.Ph == "M" && e.Name == "process_name":
			nodes[e.Pid] = mexec.NodeID(e.Args.Name)
		case e.Ph == "X" && e.Cat == "placed":
			is.commands++
			is.placed[nodes[e.Pid]] += used
		case e.Ph == "X" && e.Cat == "kept":
			is.kept[e.Args.Why] += used
		}
	}
	return is
}
