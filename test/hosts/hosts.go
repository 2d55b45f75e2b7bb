// Package hosts makes a small cluster on one machine, real enough to break: N hosts, each with its own mexecd.
//
// As root a host is a network namespace with its own address on a private switch, a mount namespace in which /run/mexec,
// /etc/mexec and /var/lib/mexec are its own, a host name (node1, node2 …), and a control group with a share of the CPU. All
// else is the machine's, which makes the file system the hosts' shared tree. Not root, or with Config.Loopback, a host is a
// loopback address with its own directories, and has no share of its own: Cut and Heal say that they cannot.
//
// Several sets of hosts may live side by side: no address, name or path of one is visible to another. A set never outlives
// the process that started it: each host is held by an anchor, a shell that waits for the end of its standard input and then
// kills what is left in the host's control group. Close and a SIGKILL of the test go the same way.
//
// Start returns when every daemon answers on its socket; WaitUp waits until they know each other. A Host's methods may be
// called from any goroutine; a daemon is started and killed by one caller at a time.
package hosts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mexec"
)

// Config is what a set of hosts should be. The zero value is four hosts with one slot each and no limit on the CPU.
type Config struct {
	N        int
	Slots    int      // of each daemon
	CPU      float64  // CPUs that one host may use; 0: no limit
	Memory   int64    // bytes that one host may use; 0: no limit
	Flags    []string // more arguments for every mexecd
	Bin      string   // where the programs are; empty: bin/ of this module
	Loopback bool     // loopback addresses even where namespaces could be had
	Bare     bool     // hosts without a cluster: nothing is initialised, no daemon runs
}

// Hosts is one set. Host 1 is All[0]; it made the cluster that the others joined.
type Hosts struct {
	All  []*Host
	Dir  string // all that the set writes is below it
	conf Config
	site site
}

// A site is the ground that hosts stand on: namespaces or loopback.
type site interface {
	open(h *Host) error               // makes the host's place, ready for commands
	enter(h *Host) (argv []string)    // goes before a command that shall run inside
	shell(h *Host) string             // for a person who wants to look around inside
	environ(h *Host) (env []string)   // what a command inside needs beyond the caller's environment
	cut(h *Host, yes bool) error      // the network between the host and all others
	network(h *Host, do func()) error // runs do with the host's network
	close() error                     // ends all that runs inside, and the places
}

// Start brings up a set of hosts; the caller owes it a Close.
func Start(ctx context.Context, c Config) (*Hosts, error) {
	// A host's commands have the descriptors that they are given. What we have inherited ourselves would travel with each of them.
	unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
	// And they have all signals. What is ignored here, as under nohup or in a shell's background, would be ignored by each of them, too; what is caught is not.
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	if c.N == 0 {
		c.N = 4
	}
	if c.Slots == 0 {
		c.Slots = 1
	}
	if c.Bin == "" {
		root, err := moduleRoot()
		if err != nil {
			return nil, err
		}
		c.Bin = filepath.Join(root, "bin")
	}
	if _, err := os.Stat(filepath.Join(c.Bin, "mexecd")); err != nil && !c.Bare {
		return nil, fmt.Errorf("start hosts: %w: run make first", err)
	}
	sweep()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d.", prefix, os.Getpid()))
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // jobs of other users pass through it
		return nil, err
	}
	s, err := newSite(filepath.Base(dir), c)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	hs := &Hosts{Dir: dir, conf: c, site: s}
	if err := hs.up(ctx); err != nil {
		return nil, errors.Join(err, hs.Close())
	}
	return hs, nil
}

func newSite(name string, c Config) (site, error) {
	if c.Loopback || os.Geteuid() != 0 {
		return newLoopback()
	}
	return newNamespaces(name, c.CPU, c.Memory)
}

// Test starts a set for the length of a test; when the test fails, the daemons' logs are part of what it says.
func Test(t testing.TB, c Config) *Hosts {
	t.Helper()
	hs, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	hs.EndWith(t)
	return hs
}

// EndWith closes the set at the end of a test; when that fails, the daemons' logs are part of what it says.
func (hs *Hosts) EndWith(t testing.TB) {
	t.Cleanup(func() {
		if err := hs.Close(); err != nil {
			t.Error(err)
		}
	})
	hs.Tell(t, math.MaxInt)
}

// Tell has a test that fails say how the daemons' logs end, at most so many bytes of each.
func (hs *Hosts) Tell(t testing.TB, most int) {
	t.Cleanup(func() {
		if t.Failed() {
			for _, h := range hs.All {
				log := h.Log()
				t.Logf("log of %s ends:\n%s", h.Name, log[max(0, len(log)-most):])
			}
		}
	})
}

func (hs *Hosts) up(ctx context.Context) error {
	for i := range hs.conf.N {
		h := &Host{
			Number: i + 1,
			Name:   fmt.Sprintf("node%d", i+1),
			Dir:    filepath.Join(hs.Dir, fmt.Sprintf("node%d", i+1)),
			hosts:  hs,
		}
		for _, d := range privateDirs {
			if err := os.MkdirAll(filepath.Join(h.Dir, d), 0o755); err != nil {
				return err
			}
		}
		hs.All = append(hs.All, h)
	}
	if err := each(hs.All, hs.site.open); err != nil {
		return err
	}
	if hs.conf.Bare {
		return nil
	}
	token, err := hs.All[0].initCluster(ctx)
	if err != nil {
		return err
	}
	if err := hs.All[0].StartDaemon(); err != nil {
		return err
	}
	for _, h := range hs.All[1:] { // in order, so that a host's number is its number in NODES
		if err := h.join(ctx, hs.All[0], token); err != nil {
			return err
		}
	}
	return each(hs.All[1:], (*Host).StartDaemon)
}

// WaitUp waits until every host whose daemon runs sees n nodes that may get jobs, itself among them.
func (hs *Hosts) WaitUp(ctx context.Context, n int) error {
	return each(hs.All, func(h *Host) error {
		if h.Daemon() == 0 {
			return nil
		}
		seen := -1
		err := Poll(ctx, func() bool {
			nodes, err := h.Nodes(ctx)
			if err != nil {
				return false
			}
			seen = 0
			for _, node := range nodes {
				if node.State == mexec.Up || node.State == mexec.Self {
					seen++
				}
			}
			return seen == n
		})
		if err != nil {
			return fmt.Errorf("wait for %d nodes on %s: %d seen: %w", n, h.Name, seen, err)
		}
		return nil
	})
}

// Nodes is the host's own view of its cluster.
func (h *Host) Nodes(ctx context.Context) ([]mexec.Node, error) {
	out, err := h.CommandContext(ctx, "mexecctl", "nodes", "--socket", h.Socket(), "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("nodes of %s: %w", h.Name, err)
	}
	var nodes []mexec.Node
	if err := json.Unmarshal(out, &nodes); err != nil {
		return nil, fmt.Errorf("nodes of %s: %w", h.Name, err)
	}
	return nodes, nil
}

// Isolated says whether the hosts are namespaces; else they are loopback addresses.
func (hs *Hosts) Isolated() bool {
	_, ok := hs.site.(*namespaces)
	return ok
}

// Slots is how many slots each daemon has.
func (hs *Hosts) Slots() int { return hs.conf.Slots }

// Close ends what runs in the hosts, daemons first and in good order, and removes the hosts.
func (hs *Hosts) Close() error {
	each(hs.All, func(h *Host) error { h.stopDaemon(); return nil })
	return errors.Join(hs.site.close(), os.RemoveAll(hs.Dir))
}

// Poll asks until the answer is yes; it gives up with ctx, or after 20 seconds.
func Poll(ctx context.Context, yes func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

var joinToken = regexp.MustCompile(`--token[ =](\S+)`)

func (h *Host) initCluster(ctx context.Context) (token string, err error) {
	out, err := h.CommandContext(ctx, "mexecctl", "init", "--name", h.Name, "--advertise", h.Addr, "--state", h.state()).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("init %s: %w: %s", h.Name, err, out)
	}
	m := joinToken.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("init %s: no token in %q", h.Name, out)
	}
	return string(m[1]), nil
}

func (h *Host) join(ctx context.Context, first *Host, token string) error {
	out, err := h.CommandContext(ctx, "mexecctl", "join", first.Addr+":7733", "--token", token,
		"--name", h.Name, "--advertise", h.Addr, "--state", h.state()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("join %s: %w: %s", h.Name, err, out)
	}
	return nil
}

// each does one thing on several hosts at once and joins what went wrong.
func each(hs []*Host, do func(*Host) error) error {
	errs := make([]error, len(hs))
	var wg sync.WaitGroup
	for i, h := range hs {
		wg.Go(func() { errs[i] = do(h) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find bin: not inside the module")
		}
		dir = filepath.Dir(dir)
	}
}
