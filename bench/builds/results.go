package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// build is one build, as a line of runs.jsonl. All times are seconds.
type build struct {
	Scenario  string
	Label     string `json:",omitempty"`
	System    string
	Round     int
	At        time.Time
	Command   string
	Elapsed   float64   // until the last home was done
	Each      []float64 // of each home
	CPU       float64   // of all hosts
	Used      []float64 // of each host
	Throttled []float64 // for how long each host's quota was used up while it had more to do; each CPU of the machine counts
	Daemons   []float64 // CPU of mexecd, on each host
	Others    float64   // CPU that others used on this machine in the meantime
	Same, Of  int       // objects, archives and executables that are the same as those of smp
	Loss      *loss     `json:",omitempty"`
}

func (b build) String() string {
	s := fmt.Sprintf("%-7s round %d: %6.1f s, CPU %6.1f s, home %5.1f s, others %5.1f s", b.System, b.Round, b.Elapsed, b.CPU, b.Used[0], b.Others)
	if b.Of > 0 {
		s += fmt.Sprintf(", same %d of %d", b.Same, b.Of)
	}
	return s
}

// limit is what must be, by the graph of the recipes.
type limit struct {
	Scenario string
	Label    string `json:",omitempty"`
	At       time.Time
	Tasks    int
	Work     float64 // CPU seconds of all
	Path     float64 // of the longest chain
	Make     float64 // that of make before the first recipe, which is part of both
	Bound    float64 // elapsed
	Free     float64 // elapsed, if make took double-colon rules as they come free; it takes them one after the other
}

func file() (string, error) {
	dir, err := base()
	return filepath.Join(dir, "runs.jsonl"), err
}

func record(what any) error {
	name, err := file()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	return json.NewEncoder(f).Encode(what)
}

// recorded is all that was written down.
func recorded() (builds []build, limits []limit, err error) {
	name, err := file()
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var b build
		var l limit
		if err := json.Unmarshal(lines.Bytes(), &b); err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", name, err)
		}
		if b.System != "" {
			builds = append(builds, b)
		} else if err := json.Unmarshal(lines.Bytes(), &l); err == nil {
			limits = append(limits, l)
		}
	}
	return builds, limits, lines.Err()
}

// median is that of some value of builds.
func median(bs []build, of func(build) float64) float64 {
	var all []float64
	for _, b := range bs {
		all = append(all, of(b))
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}
