package journal

import "mexec"

// tree tells apart what each process has used itself.
//
// The usage that wait4 gives has in it that of all children that the process has waited for, and theirs. Where a nested make ends, that is
// all that it has run, which it has told already. So of each usage that is told, what is left is added to all processes above the one that has waited,
// and taken off when one of them ends in its turn: the sum over all ends is what the whole has used.
//
// A process that nobody waits for is in nobody's usage; what drivers below it have told is then taken off those above it too. Makes wait.
type tree struct {
	up   map[int]int         // parents, of those that we have heard of
	kids map[int]int         // how many there are of whom one is the parent
	told map[int]mexec.Usage // of what has ended in or below a process
}

// deepest bounds the way up: numbers of processes are used again, and could go round.
const deepest = 200

func newTree() *tree {
	return &tree{up: map[int]int{}, kids: map[int]int{}, told: map[int]mexec.Usage{}}
}

func (t *tree) forked(pid, parent int) {
	t.forget(pid) // of an earlier process of that number
	t.put(pid, parent)
}

func (t *tree) put(pid, parent int) {
	t.drop(pid)
	t.up[pid] = parent
	t.kids[parent]++
}

func (t *tree) drop(pid int) {
	parent, ok := t.up[pid]
	if !ok {
		return
	}
	delete(t.up, pid)
	if t.kids[parent]--; t.kids[parent] == 0 {
		delete(t.kids, parent)
	}
}

// begun is told of a driver that was executed: it may have been a copy of another before, and then has a past.
func (t *tree) begun(pid int, above []int) {
	for _, parent := range above {
		t.put(pid, parent)
		pid = parent
	}
}

// ended returns the process's own part of its usage.
func (t *tree) ended(pid, by int, u mexec.Usage) mexec.Usage {
	told := t.told[pid]
	u.User = max(u.User-told.User, 0)
	u.System = max(u.System-told.System, 0)
	t.forget(pid)
	for range deepest {
		sum := t.told[by]
		sum.User += u.User
		sum.System += u.System
		t.told[by] = sum
		above, ok := t.up[by]
		if !ok {
			break
		}
		by = above
	}
	return u
}

// forget drops a process and all below it: the shells between two drivers end unseen.
func (t *tree) forget(pid int) {
	gone := []int{pid}
	if t.kids[pid] > 0 { // hardly any has
		for p := range t.up {
			if t.isBelow(p, pid) {
				gone = append(gone, p)
			}
		}
	}
	for _, p := range gone {
		t.drop(p)
		delete(t.told, p)
	}
}

func (t *tree) isBelow(p, pid int) bool {
	for range deepest {
		above, ok := t.up[p]
		if !ok {
			return false
		}
		if above == pid {
			return true
		}
		p = above
	}
	return false
}
