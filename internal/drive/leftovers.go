package drive

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mexec/internal/pulse"
)

// leftovers are the processes that a build leaves behind on this node: on others they end with their job, and here nobody would look for them. They become
// ours when their parents end, whatever groups and sessions they have. A build that ends by itself may leave what it wants, as under the tool alone; of
// one that is interrupted nothing stays.
type leftovers struct {
	others map[int]bool // children of ours that are none of the tool's
	seen   map[int]bool // have ended, and were there at the last look
	stop   chan struct{}
	done   chan struct{}
}

// patience is how long what was killed may take to be gone.
const patience = time.Second

// inherit begins, before the tool is started, to take what becomes an orphan.
func inherit() *leftovers {
	l := &leftovers{others: map[int]bool{}, seen: map[int]bool{}, stop: make(chan struct{}), done: make(chan struct{})}
	unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	for _, pid := range children(os.Getpid()) {
		l.others[pid] = true
	}
	go func() {
		defer close(l.done)
		t := pulse.Every(time.Second)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				l.bury()
				t.Again()
			case <-l.stop:
				return
			}
		}
	}()
	return l
}

// bury reaps orphans. Whoever has started a process waits for it, and takes it as soon as it has ended: what still lies there at the next look is nobody's.
func (l *leftovers) bury() {
	var any unix.Siginfo // most of the time there is none, and no list to be made
	if err := unix.Waitid(unix.P_ALL, 0, &any, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err == nil && any.Signo == 0 {
		clear(l.seen)
		return
	}
	dead := map[int]bool{}
	for _, pid := range children(os.Getpid()) {
		if !ended(pid) {
			continue
		}
		if l.seen[pid] {
			syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
			continue
		}
		dead[pid] = true
	}
	l.seen = dead
}

func ended(pid int) bool {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	i := bytes.LastIndexByte(stat, ')')
	return i >= 0 && bytes.HasPrefix(stat[i:], []byte(") Z"))
}

// leave lets them live; the tool has ended.
func (l *leftovers) leave() {
	close(l.stop)
	<-l.done
}

// kill ends them all, also those that one of them starts meanwhile; the tool has ended, and was waited for.
func (l *leftovers) kill() {
	l.leave()
	pause := time.Millisecond
	for late := time.Now().Add(patience); ; pause = min(2*pause, 50*time.Millisecond) {
		left := l.below(os.Getpid())
		if len(left) == 0 || time.Now().After(late) {
			return
		}
		for _, pid := range left {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		for _, pid := range left {
			syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // where it is a child of ours
		}
		time.Sleep(pause)
	}
}

// below lists the tool's processes that descend from one.
func (l *leftovers) below(pid int) (all []int) {
	for _, child := range children(pid) {
		if !l.others[child] {
			all = append(append(all, child), l.below(child)...)
		}
	}
	return all
}

func children(pid int) (pids []int) {
	lists, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}
