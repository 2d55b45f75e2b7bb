package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// adopt counts the commands that run here already and that nobody here let start: the daemon that did is gone. Without this the daemon
// that a build falls back to would let as many start beside them. Config.Root is the process that the build descends from; it is asked
// when the first command comes, and every other waits for that.
func (d *Daemon) adopt() {
	for _, pid := range commandsOf(d.cfg.Root, true) {
		fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
		if err != nil {
			continue // it has ended
		}
		grant := d.placer.occupy()
		d.ancestry.enter(pid, grant)
		d.wg.Go(func() {
			waitExit(d.ctx, fd, nil)
			d.ancestry.leave(pid, grant)
			d.placer.cancelFor(grant)
		})
	}
}

// commandsOf lists the commands below a driver. What a driver starts to decide by, and stubs, have its MEXEC_DRIVER in their
// environment; it was taken out for commands. What the root has without it are orphans of commands: they are its children only because somebody must end
// them (package drive), and may live for as long as they like.
func commandsOf(driver int, root bool) (pids []int) {
	lists, _ := filepath.Glob("/proc/" + strconv.Itoa(driver) + "/task/*/children")
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(children)) {
			env, _ := os.ReadFile("/proc/" + child + "/environ")
			pid, err := strconv.Atoi(child)
			switch {
			case err != nil || len(env) == 0: // it has ended
			case bytes.HasPrefix(env, []byte("MEXEC_DRIVER=")) || bytes.Contains(env, []byte("\x00MEXEC_DRIVER=")):
				pids = append(pids, commandsOf(pid, false)...)
			case root:
			default:
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
