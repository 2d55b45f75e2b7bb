package daemon

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"time"

	"mexec/internal/place"
)

// ancestry finds the job on this node that a caller descends from: that job waits for the caller, so its slot is lent on.
// A make that a job runs calls again and again, so what was found out about a parent is remembered for a moment.
type ancestry struct {
	mu    sync.Mutex
	jobs  map[int]place.Grant // by the pid of the job's process
	known map[int]answer      // by the caller's parent
}

type answer struct {
	grant place.Grant
	until time.Time
}

const remember = time.Second

func newAncestry() *ancestry {
	return &ancestry{jobs: map[int]place.Grant{}, known: map[int]answer{}}
}

func (a *ancestry) enter(pid int, g place.Grant) {
	a.mu.Lock()
	a.jobs[pid] = g
	a.mu.Unlock()
}

// leave takes the job of a grant out. By now its number may be that of another job's process.
func (a *ancestry) leave(pid int, g place.Grant) {
	a.mu.Lock()
	if a.jobs[pid] == g {
		delete(a.jobs, pid)
	}
	a.mu.Unlock()
}

// of returns the grant of the job that the caller descends from, 0 for none. The caller itself is that job where the job's program has
// executed the stub in its own place.
func (a *ancestry) of(pid, parent int, now time.Time) place.Grant {
	a.mu.Lock()
	if len(a.jobs) == 0 {
		a.mu.Unlock()
		return 0
	}
	self := a.jobs[pid]
	got, ok := a.known[parent]
	a.mu.Unlock()
	if self != 0 {
		return self
	}
	if ok && now.Before(got.until) {
		return got.grant
	}
	// The caller says who its parent is; it is looked up only where it matters.
	var g place.Grant
	for at := parentOf(pid); at > 1 && g == 0; at = parentOf(at) {
		a.mu.Lock()
		g = a.jobs[at]
		a.mu.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) > 1000 {
		clear(a.known)
	}
	a.known[parent] = answer{g, now.Add(remember)}
	return g
}

// parentOf reads the fourth field of /proc/PID/stat; the second may hold any byte but ends at the last parenthesis.
func parentOf(pid int) int {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(string(f[1]))
	return ppid
}
