package daemon

import (
	"sync"

	"golang.org/x/sys/unix"

	"mexec/internal/place"
)

// pipes finds those of this home's jobs that a job is joined to by pipes, be it through others: the stages of a pipeline. Any of them may wait for any
// other, so each that waits for a slot is lent that of one that runs on this node. Else a pipeline of more stages than there are slots would wait for ever.
type pipes struct {
	mu   sync.Mutex
	jobs map[pipe][2]map[*piped]bool // by what they read and what they write
}

type pipe struct{ dev, ino uint64 }

const reads, writes = 0, 1

// piped is a job with a pipe for its stdin, stdout or stderr.
type piped struct {
	ends  [2]map[pipe]bool
	grant place.Grant // 0: it waits
}

func newPipes() *pipes { return &pipes{jobs: map[pipe][2]map[*piped]bool{}} }

// pipesOf is for a caller's descriptors 0 to 2; nil where none is a pipe.
func pipesOf(fds [3]int) *piped {
	var j *piped
	for n, fd := range fds {
		var st unix.Stat_t
		if fd < 0 || unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
			continue
		}
		if j == nil {
			j = &piped{ends: [2]map[pipe]bool{{}, {}}}
		}
		j.ends[min(n, writes)][pipe{st.Dev, st.Ino}] = true
	}
	return j
}

// enter is for a job that begins to wait, with no grant, or to run on this node. It returns the grants of which one is to be lent now: of those that run for
// one that waits, and of one that runs its own, if any waits.
func (p *pipes) enter(j *piped, grant place.Grant) (lend []place.Grant) {
	if j == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j.grant = grant
	for way := range j.ends {
		for at := range j.ends[way] {
			both := p.jobs[at]
			if both[way] == nil {
				both[way] = map[*piped]bool{}
			}
			both[way][j] = true
			p.jobs[at] = both
		}
	}
	for other := range p.joinedLocked(j) {
		switch {
		case grant == 0 && other.grant != 0:
			lend = append(lend, other.grant)
		case grant != 0 && other.grant == 0:
			return []place.Grant{grant}
		}
	}
	return lend
}

// leave is for one that waits or runs no longer.
func (p *pipes) leave(j *piped) {
	if j == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for way := range j.ends {
		for at := range j.ends[way] {
			both := p.jobs[at]
			if delete(both[way], j); len(both[reads])+len(both[writes]) == 0 {
				delete(p.jobs, at)
			}
		}
	}
}

// joinedLocked follows each pipe to its other end and on. No pipe is gone through twice: those that write into one pipe, as all recipes of a make may, are
// not joined by that.
func (p *pipes) joinedLocked(j *piped) map[*piped]bool {
	found, through := map[*piped]bool{}, map[pipe]bool{}
	for next := []*piped{j}; len(next) > 0; next = next[1:] {
		for way := range next[0].ends {
			for at := range next[0].ends[way] {
				if through[at] {
					continue
				}
				through[at] = true
				for other := range p.jobs[at][1-way] {
					if other != j && !found[other] {
						found[other] = true
						next = append(next, other)
					}
				}
			}
		}
	}
	return found
}
