package hosts

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

//go:embed anchor.sh
var anchorScript string

// The switch is a namespace too, so that no bridge, address or rule of a set is ever seen by the machine or another set.
const switchScript = `ip link add br0 type bridge && ip link set br0 up && echo ready && cat >/dev/null`

// namespaces is the site of hosts that are namespaces.
type namespaces struct {
	name   string
	groups *groups
	sw     *anchor

	mu      sync.Mutex
	anchors map[*Host]*anchor
}

var _ site = (*namespaces)(nil)

// newNamespaces makes the switch; hosts are plugged into it as they open.
func newNamespaces(name string, cpu float64, memory int64) (*namespaces, error) {
	g, err := newGroups(name, cpu, memory)
	if err != nil {
		return nil, err
	}
	s := &namespaces{name: name, groups: g, anchors: make(map[*Host]*anchor)}
	if s.sw, err = newAnchor([]string{"--net"}, "switch", switchScript); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *namespaces) open(h *Host) error {
	groups, err := s.groups.add(h.Name)
	if err != nil {
		return err
	}
	args := append([]string{h.Name, h.Dir}, groups...)
	a, err := newAnchor([]string{"--net", "--mount", "--uts"}, h.Name, anchorScript, args...)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.anchors[h] = a
	s.mu.Unlock()

	h.Addr = fmt.Sprintf("10.77.0.%d", h.Number)
	port := "port" + strconv.Itoa(h.Number)
	plug := fmt.Sprintf("link add %s type veth peer name eth0 netns %d\nlink set %s master br0 up\n", port, a.pid(), port)
	if err := ip(s.sw, plug); err != nil {
		return err
	}
	return ip(a, fmt.Sprintf("addr add %s/24 dev eth0\nlink set eth0 up\nroute add default dev eth0\n", h.Addr))
}

// enterScript runs outside: it moves itself into the groups, then into the namespaces, and becomes the command. nsenter
// would start at /, so it is told the directory, which is the same one inside.
const enterScript = `pid=$1; shift
while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs" || exit 126; shift; done; shift
exec nsenter --target "$pid" --net --mount --uts --wdns="$(pwd -P)" -- "$@"`

func (s *namespaces) enter(h *Host) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	argv := []string{"/bin/sh", "-c", enterScript, "enter", strconv.Itoa(s.anchors[h].pid())}
	argv = append(argv, s.groups.of(h.Name)...)
	return append(argv, "--")
}

func (s *namespaces) shell(h *Host) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("nsenter -t %d -n -m -u", s.anchors[h].pid())
}

func (s *namespaces) environ(*Host) []string { return nil }

// A port that belongs to no bridge takes frames and forwards none, while the host's end keeps its carrier. A downed link
// would tell the host at once, and a packet filter would need a kernel module for bridges.
func (s *namespaces) cut(h *Host, yes bool) error {
	if yes {
		return ip(s.sw, fmt.Sprintf("link set port%d nomaster\n", h.Number))
	}
	return ip(s.sw, fmt.Sprintf("link set port%d master br0\n", h.Number))
}

// network keeps its thread locked when it cannot go back: the runtime then ends the thread with the goroutine.
func (s *namespaces) network(h *Host, do func()) error {
	s.mu.Lock()
	path := fmt.Sprintf("/proc/%d/ns/net", s.anchors[h].pid())
	s.mu.Unlock()
	there, err := os.Open(path)
	if err != nil {
		return err
	}
	defer there.Close()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		here, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- err
			return
		}
		defer here.Close()
		if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter network of %s: %w", h.Name, err)
			return
		}
		do()
		if unix.Setns(int(here.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- nil
	}()
	return <-done
}

func (s *namespaces) close() error {
	var errs []error
	var wg sync.WaitGroup
	for _, a := range s.anchors {
		wg.Go(func() { a.close() })
	}
	wg.Wait()
	if s.sw != nil {
		s.sw.close()
	}
	return errors.Join(append(errs, s.groups.close())...)
}

// An anchor is a process that holds namespaces.
type anchor struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

func newAnchor(unshare []string, name, script string, args ...string) (*anchor, error) {
	argv := append(unshare, "/bin/sh", "-c", script, "mexec-host")
	cmd := exec.Command("unshare", append(argv, args...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of reach of a Ctrl-C: it has cleaning to do
	var said strings.Builder
	cmd.Stderr = &said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("anchor %s: %w", name, err)
	}
	a := &anchor{cmd, stdin}
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		a.close()
		return nil, fmt.Errorf("anchor %s: %s", name, strings.TrimSpace(said.String()))
	}
	return a, nil
}

func (a *anchor) pid() int { return a.cmd.Process.Pid }

func (a *anchor) close() {
	a.stdin.Close()
	a.cmd.Wait()
}

// ip runs one batch of ip(8) with the anchor's network.
func ip(a *anchor, batch string) error {
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(a.pid()), "--net", "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %q: %w: %s", batch, err, strings.TrimSpace(string(out)))
	}
	return nil
}
