package daemon

import (
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// pipes finds those of this home's jobs that a job is joined to by pipes, be it through others: the stages of a pipeline. Any of them may wait for any
// other, so each that waits for a slot is lent that of one that runs. Else a pipeline of more stages than there are slots would wait for ever.
type pipes struct {
	mu   sync.Mutex
	jobs map[pipe]*ends
}

type pipe struct{ dev, ino uint64 }

// ends are the jobs that read a pipe and that write it.
type ends [2][]*piped

const reads, writes = 0, 1

// piped is a job with a pipe for its stdin, stdout or stderr.
type piped struct {
	fds  [3]pipe     // zero: no pipe
	lend func() bool // nil: it waits
}

// way is what a job does with the pipe of a descriptor.
func way(fd int) int { return min(fd, writes) }

func newPipes() *pipes { return &pipes{jobs: map[pipe]*ends{}} }

// pipesOf is for a caller's descriptors 0 to 2; nil where none is a pipe.
func pipesOf(fds [3]int) (j *piped) {
	for n, fd := range fds {
		var st unix.Stat_t
		if fd < 0 || unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
			continue
		}
		if j == nil {
			j = new(piped)
		}
		j.fds[n] = pipe{st.Dev, st.Ino}
	}
	return j
}

// enter is for a job that begins to wait, with lend nil, or to run. Where some of those that it is joined to wait and some run, one that runs lends its slot:
// lend does so, and is false where that has been done before.
func (p *pipes) enter(j *piped, lend func() bool) {
	if j == nil {
		return
	}
	for _, lend := range p.join(j, lend) {
		if lend() {
			return
		}
	}
}

func (p *pipes) join(j *piped, lend func() bool) (lenders []func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j.lend = lend
	for fd, at := range j.fds {
		if at != (pipe{}) {
			both := p.jobs[at]
			if both == nil {
				both = new(ends)
				p.jobs[at] = both
			}
			both[way(fd)] = append(both[way(fd)], j)
		}
	}
	for _, other := range p.joinedLocked(j) {
		switch {
		case lend == nil && other.lend != nil:
			lenders = append(lenders, other.lend)
		case lend != nil && other.lend == nil:
			return []func() bool{lend}
		}
	}
	return lenders
}

// leave is for one that waits or runs no longer.
func (p *pipes) leave(j *piped) {
	if j == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for fd, at := range j.fds {
		both := p.jobs[at]
		if both == nil {
			continue
		}
		both[way(fd)] = slices.DeleteFunc(both[way(fd)], func(other *piped) bool { return other == j })
		if len(both[reads])+len(both[writes]) == 0 {
			delete(p.jobs, at)
		}
	}
}

// joinedLocked follows each pipe to its other end and on. No pipe is gone through twice: those that write into one pipe, as all recipes of a make may, are
// not joined by that.
func (p *pipes) joinedLocked(j *piped) (found []*piped) {
	var through []pipe
	for next := []*piped{j}; len(next) > 0; next = next[1:] {
		for fd, at := range next[0].fds {
			if at == (pipe{}) || slices.Contains(through, at) {
				continue
			}
			through = append(through, at)
			for _, other := range p.jobs[at][1-way(fd)] {
				if other != j && !slices.Contains(found, other) {
					found = append(found, other)
					next = append(next, other)
				}
			}
		}
	}
	return found
}
