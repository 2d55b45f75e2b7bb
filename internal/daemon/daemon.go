// Package daemon assembles mexecd: it builds the parts, owns their goroutines and stops them in order.
//
// One daemon is both sides. As a home it serves the stubs of this node (caller.go, away.go); as a worker it serves the jobs of other homes
// (worker.go). Both meet in the placer, which owns every decision under one lock. Without an identity a daemon is alone: it has no
// port and no peers, and places everything here, within this node's slots; mpmake embeds such a one where none runs.
//
// Open returns when the daemon serves. Close returns when nothing of it is left: no goroutine, no descriptor of a caller, no process of a
// job of another node. What runs here in its caller's own process goes on.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"

	"mexec"
	"mexec/internal/cluster"
	"mexec/internal/gauge"
	"mexec/internal/ident"
	"mexec/internal/jobserver"
	"mexec/internal/link"
	"mexec/internal/local"
	"mexec/internal/relay"
	"mexec/internal/spawn"
)

// Config is what a daemon runs by; see package config for what each of these means to people.
type Config struct {
	Socket     string
	State      string          // directory in which it may keep what it was told; empty: none
	Identity   *ident.Identity // nil: alone
	Listen     string
	Gossip     string
	Advertise  string // host by which others reach this node
	Join       []string
	Allow      func(netip.Addr) bool // nil: any member
	Slots      int                   // 0: as many as CPUs that may be used
	Labels     []string
	OwnerFirst bool               // what this node's users do besides shrinks what other homes get
	OwnerFloor int                // to no less than so many slots
	GuestNice  int                // 0 to 19: how much nicer commands of others are than at home; 20: they run when nothing else does
	Weights    map[uint32]float64 // of users, by whose weight slots are shared; 1 for who is not in it
	KeepAlive  time.Duration
	MaxSkew    time.Duration
	RootJobs   bool
	Cgroup     string
	Stage      string // path of mexec-stage
	Debug      bool
	Root       int // not 0: what already runs below this process takes slots (adopt.go)
	Log        *slog.Logger
	Now        func() time.Time // nil: time.Now; a test's clock may be wrong on purpose
	Memory     int64            // bytes that jobs may use; 0: what this daemon may, less a reserve
	Keeper     Keeper           // keeps what commands cost; nil: nobody

	// Trace begins to trace a driver below, which asks for it before it executes the program at path; nil: nobody does.
	Trace func(pid int, path string) error
}

// Daemon is one node.
type Daemon struct {
	cfg      Config
	self     mexec.NodeID
	log      *slog.Logger
	now      func() time.Time
	everyone bool // runs as root: serves every user of the machine
	maxSkew  time.Duration
	null     [3]*os.File // by how it is opened: O_RDONLY, O_WRONLY, O_RDWR

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	placer   *placer
	costs    *costs
	warden   *warden
	load     loadAverage
	drain    *drain
	ancestry *ancestry
	pipes    *pipes
	screens  relay.Screens
	slow     stragglers
	adopted  sync.Once
	socket   *local.Listener
	peers    *peers
	// The rest is nil where this node is alone.
	spawner  *spawn.Spawner
	arrivals *relay.Arrivals
	pool     *link.Pool
	lender   *jobserver.Home
	nests    *jobserver.Nests
	server   *link.Server
	door     *ident.Door
	cluster  *cluster.Cluster
}

// Open starts a daemon.
func Open(cfg Config) (*Daemon, error) {
	d := &Daemon{cfg: cfg, log: cfg.Log, now: cfg.Now, everyone: os.Geteuid() == 0, maxSkew: cfg.MaxSkew, ancestry: newAncestry(), pipes: newPipes()}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.now == nil {
		d.now = time.Now
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	err := d.open()
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Daemon) open() (err error) {
	cfg := &d.cfg
	if cfg.Slots == 0 {
		cfg.Slots = gauge.Slots()
	}
	self := mexec.Node{Number: 1, State: mexec.Self, Slots: cfg.Slots, Version: mexec.Version, Arch: gauge.Arch(), Boot: gauge.Boot(),
		Labels: strings.Join(cfg.Labels, ","), CPUs: gauge.CPUs()}
	if cfg.Identity != nil {
		self.Number, self.Name = cfg.Identity.Number, cfg.Identity.Name
	} else if name, err := os.Hostname(); err == nil {
		self.Name = mexec.NodeID(name)
	}
	d.self = self.Name
	d.placer = newPlacer(self, d.now)
	for uid, of := range cfg.Weights {
		d.placer.slots.Weigh(uid, of)
	}
	d.costs = newCosts(self.Name, d.placer)
	d.costs.cpus(self.Name, self.CPUs)
	d.warden = newWarden(d)
	d.peers = newPeers(d, self)
	if d.drain, err = openDrain(cfg.State); err != nil {
		return err
	}
	if d.null, err = openNull(); err != nil {
		return err
	}
	if cfg.Identity != nil {
		if err := d.openCluster(&self); err != nil {
			return err
		}
	}
	if d.socket, err = local.Listen(cfg.Socket, d.everyone); err != nil {
		return err
	}
	d.wg.Go(d.accept)
	d.wg.Go(d.tick)
	d.wg.Go(func() {
		if d.pool == nil { // no caller waits for that
			d.warden.open()
		}
		d.warden.run()
	})
	if cfg.Keeper != nil {
		d.wg.Go(func() { d.keep(cfg.Keeper) })
	}
	return nil
}

// openCluster opens what a node among others needs.
func (d *Daemon) openCluster(self *mexec.Node) (err error) {
	cfg, id := &d.cfg, d.cfg.Identity
	if d.arrivals, err = relay.NewArrivals(); err != nil {
		return err
	}
	if d.spawner, err = spawn.Open(spawn.Config{Stage: cfg.Stage, Cgroup: cfg.Cgroup, Log: d.log}); err != nil {
		return err
	}
	d.warden.open()
	d.lender, d.nests = jobserver.NewHome(), nestsBeside(cfg.Socket)
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	self.Addr = net.JoinHostPort(cfg.Advertise, port)
	who := link.Self{Name: d.self, Boot: self.Boot, Arch: self.Arch}
	d.pool = link.NewPool(link.PoolConfig{
		Self: who, KeepAlive: cfg.KeepAlive, Now: d.now, Home: d.peers,
		Creds: func(peer mexec.NodeID) link.Credentials { return credentials.NewTLS(id.ClientTLS(peer)) },
	})
	d.placer.pool = d.pool
	drain := d.drain.now()
	d.placer.drains(drain.Draining)
	d.peers.self = *self
	d.cluster, err = cluster.Start(d.ctx, cluster.Config{
		Facts: cluster.Facts{
			Number: self.Number, Name: self.Name, Link: self.Addr, Slots: self.Slots,
			Version: self.Version, Arch: self.Arch, Boot: self.Boot, Labels: self.Labels,
			Draining: drain.Draining, Why: drain.Why, Memory: d.warden.budget.Load(), CPUs: self.CPUs,
		},
		Bind: cfg.Gossip, Advertise: cfg.Advertise, Key: id.GossipKey,
		Seeds:  func(context.Context) []string { return append(append([]string{}, cfg.Join...), id.Seeds...) },
		Sample: d.sample, Allow: cfg.Allow, Log: d.log,
	})
	if err != nil {
		ln.Close()
		return err
	}
	d.door = id.Credentials(d.log, ident.Roll{Seeds: d.peers.seeds, Up: d.peers.isUp})
	d.server = link.NewServer(link.ServerConfig{
		Self: who, Creds: d.door, KeepAlive: cfg.KeepAlive, Now: d.now, Worker: worker{d}, Log: d.log,
	})
	d.wg.Go(func() { d.server.Serve(&fence{ln, cfg.Allow, d.log}) })
	d.wg.Go(d.peers.follow)
	d.wg.Go(d.renew)
	if cfg.OwnerFirst {
		d.wg.Go(d.watchOwner)
	}
	d.log.Info(fmt.Sprintf("node %d, %s, of cluster %s: link %s, %d slots, jobs held by %s",
		self.Number, self.Name, id.Cluster, self.Addr, self.Slots, d.spawner.Containment()))
	if drain.Draining {
		d.log.Info(drainWords(drain))
	}
	return nil
}

// Close stops the daemon: first the ways in, then what is under way, then what it stands on.
func (d *Daemon) Close() error {
	var errs []error
	if d.socket != nil {
		errs = append(errs, d.socket.Close())
	}
	d.cancel()
	if d.cluster != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		d.cluster.Leave(ctx)
		cancel()
		errs = append(errs, d.cluster.Close())
	}
	if d.pool != nil {
		d.pool.Close()
	}
	if d.server != nil {
		d.server.Close()
	}
	if d.door != nil {
		errs = append(errs, d.door.Close())
	}
	d.wg.Wait()
	if d.warden != nil {
		d.warden.meter.Close()
	}
	if d.lender != nil {
		d.lender.Close()
		errs = append(errs, d.nests.Close())
	}
	if d.spawner != nil {
		errs = append(errs, d.spawner.Close())
	}
	if d.arrivals != nil {
		errs = append(errs, d.arrivals.Close())
	}
	for _, f := range d.null {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// openNull opens the null device in each way that a caller may have it open.
func openNull() (null [3]*os.File, err error) {
	for mode := range null {
		if null[mode], err = os.OpenFile(os.DevNull, mode, 0); err != nil {
			break
		}
	}
	return null, err
}

// accept serves the stubs of this node.
func (d *Daemon) accept() {
	for {
		conn, err := d.socket.Accept()
		if err != nil {
			if d.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			d.log.Error(fmt.Sprintf("local: accept: %v", err)) // out of descriptors: wait for some to come free
			select {
			case <-time.After(50 * time.Millisecond):
			case <-d.ctx.Done():
				return
			}
			continue
		}
		d.wg.Go(func() {
			defer context.AfterFunc(d.ctx, func() { conn.Close() })()
			d.serve(conn)
		})
	}
}

// tick gives both halves of placement their time, and who watches a build the news of the cluster. While nobody has anything to run it comes once a second:
// an idle daemon is to take as little of its machine as can be.
func (d *Daemon) tick() {
	t := time.NewTimer(0)
	defer t.Stop()
	defer d.placer.rest()
	for {
		select {
		case <-t.C:
		case <-d.placer.stir:
		case <-d.ctx.Done():
			return
		}
		t.Reset(d.placer.tick())
		d.endStragglers()
		d.announce()
	}
}

// renew keeps what this node comes back by after a restart: a fresh certificate, and where others are.
func (d *Daemon) renew() {
	t := time.NewTicker(time.Hour)
	defer t.Stop()
	for {
		if seeds := d.peers.seeds(); len(seeds) > 1 {
			if err := d.cfg.Identity.Remember(seeds[1:]); err != nil {
				d.log.Warn(err.Error())
			}
		}
		if err := d.cfg.Identity.RenewIfDue(d.ctx, d.now(), d.peers.dialJoin); err != nil && d.ctx.Err() == nil {
			d.log.Warn(err.Error())
		}
		select {
		case <-t.C:
		case <-d.ctx.Done():
			return
		}
	}
}

// sample is this node's load as it tells others.
func (d *Daemon) sample() cluster.Load {
	load := d.load.now()
	_, busy, _ := d.placer.busy()
	slots, _ := d.placer.offered()
	return cluster.Load{Slots: slots, Busy: busy, Load: load}
}

// loadAverage is that of the machine, which the kernel counts each five seconds, and many ask for.
type loadAverage struct {
	mu   sync.Mutex
	read time.Time
	last float64
}

func (l *loadAverage) now() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.read) > time.Second/2 {
		l.read = now
		l.last, _ = gauge.Load()
	}
	return l.last
}

// memory is what jobs may have of this node's memory in all, and what of it could be promised now.
func (d *Daemon) memory() (all, free int64) {
	all = d.warden.budget.Load()
	return all, min(all, d.placer.memoryLeft())
}

// fence lets only addresses in that the allow list has: the second fence, before any byte is read.
type fence struct {
	net.Listener
	allow func(netip.Addr) bool
	log   *slog.Logger
}

func (f *fence) Accept() (net.Conn, error) {
	for {
		c, err := f.Listener.Accept()
		if err != nil || f.allow == nil {
			return c, err
		}
		a, aerr := netip.ParseAddrPort(c.RemoteAddr().String())
		if aerr == nil && (a.Addr().Unmap().IsLoopback() || f.allow(a.Addr().Unmap())) {
			return c, nil
		}
		f.log.Warn(fmt.Sprintf("link %s: refused: not in the allow list", c.RemoteAddr()))
		c.Close()
	}
}

// Beside finds a file of ours: beside the program that runs, or where `make install` puts it.
func Beside(name string) string {
	exe, err := os.Executable()
	if err != nil {
		return name
	}
	dir := filepath.Dir(exe)
	for _, p := range []string{filepath.Join(dir, name), filepath.Join(dir, "..", "lib", "mexec", name), filepath.Join(dir, "..", "bin", name)} {
		if _, err := os.Stat(p); err == nil {
			return filepath.Clean(p)
		}
	}
	return filepath.Join(dir, name)
}
