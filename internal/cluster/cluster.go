// Package cluster knows which nodes there are and how busy each is, as far as this node has heard.
//
// It stands on hashicorp/memberlist (SWIM gossip), encrypted with the cluster's gossip key, and adds what that leaves
// out: a partition heals however long it lasted (join.go), a restarted daemon is seen at once (a run of a daemon is a
// member of its own), and load travels at a constant cost (window.go).
//
// What it promises:
//   - Members always includes this node and never blocks on the network.
//   - A node that comes or goes is seen by all within seconds: some 10 s until a silent death is known, and after a
//     partition up to a minute more.
//   - Changed gets a token after each change of the membership; changes that come together make one token. There is
//     one channel: it is for one reader. A change of load makes none.
//   - Close returns within seconds, and when it has returned, Seeds and Sample are not called and nothing is logged any more.
//
// What not to assume: that two nodes see the same members at one time; that a member is reachable, willing or what it
// says it is (gossip proves only that the sender has the gossip key: identity is proved on the link); that a load is
// recent (look at Age, and let the worker refuse); that Number is unique. Whether a running job's node is alive must be
// learned from the link to it, gossip is too slow.
//
// Callbacks: Seeds may block until its context ends, no longer, for Close waits for it; Sample and Allow must return at
// once. memberlist can't be waited for: a probe of its own that is under way may last up to 10 s longer than Close; it
// holds no socket, and may still call Allow.
//
// The tests run whole clusters in virtual time over an in-memory transport (network_test.go), and one over loopback.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Port is the usual one of gossip, UDP and TCP.
const Port = 7947

// Config is what a cluster needs to start.
type Config struct {
	Facts     Facts
	Bind      string                         // host:port, UDP and TCP; empty: all addresses, Port
	Advertise string                         // host or host:port by which the others reach it; empty: found out
	Key       []byte                         // the gossip key: 16, 24 or 32 bytes
	Seeds     func(context.Context) []string // host or host:port of some others; asked again each minute; may be nil
	Sample    func() Load
	Allow     func(netip.Addr) bool // nil: everybody. Loopback is always allowed
	Log       *slog.Logger          // nil: slog.Default

	Transport memberlist.Transport // nil: sockets at Bind
}

// Cluster is this node's part in the gossip.
type Cluster struct {
	config  Config
	log     *slog.Logger
	rumours *rumours
	list    *memberlist.Memberlist
	name    string // memberlist's, for this run
	port    int
	changed chan struct{}
	loops   sync.WaitGroup
	stop    context.CancelFunc

	mu     sync.Mutex
	view   *view
	meta   []byte // our facts, as memberlist tells them
	closed bool

	leaving sync.Mutex // Leave, Close and Drain: memberlist panics if the one comes during or after the other
}

// Start opens the gossip and returns; joining the others goes on behind. ctx bounds the start only.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	c := &Cluster{config: config, log: config.Log, changed: make(chan struct{}, 1)}
	if c.log == nil {
		c.log = slog.Default()
	}
	c.rumours = newRumours(c.log)
	var err error
	if c.meta, err = encodeFacts(config.Facts); err != nil {
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	if err := memberlist.ValidateKey(config.Key); err != nil {
		return nil, fmt.Errorf("start cluster: gossip key: %w", err)
	}
	if c.config.Sample == nil {
		return nil, errors.New("start cluster: no sample of the load")
	}
	transport := config.Transport
	if transport == nil {
		if transport, err = c.listen(ctx); err != nil {
			return nil, fmt.Errorf("start cluster: %w", err)
		}
	}
	if err := c.gossip(transport); err != nil {
		transport.Shutdown()
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	running, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.loops.Go(func() { c.keepJoined(running) })
	c.loops.Go(func() { c.keepTelling(running) })
	return c, nil
}

func (c *Cluster) listen(ctx context.Context) (memberlist.Transport, error) {
	bind := c.config.Bind
	if bind == "" {
		bind = fmt.Sprintf(":%d", Port)
	}
	s, err := listen(bind, c.allows, func(a netip.Addr) {
		c.rumours.warn("gossip refused: the sender's address is not in the allowed networks", "from", a)
	})
	if err != nil {
		return nil, err
	}
	s.advertise, err = advertised(ctx, c.config.Advertise, bind, c.config.Facts.Link, s.port())
	if err != nil {
		s.Shutdown()
		return nil, err
	}
	return s, nil
}

// Each member sends each news to gossipNodes random others every 0.2 s, retransmitMult times the number of digits of the
// cluster's size in all. With memberlist's own 4 and 3 a news missed one of 32 members in 3 of 1,000 cases, until the next
// comparison half a minute later, and a node that drains has to be known as such at once. Twice as many take no longer.
const (
	retransmitMult = 8
	gossipNodes    = 6
)

// gossip makes this run of the daemon a member.
func (c *Cluster) gossip(transport memberlist.Transport) error {
	now := time.Now()
	ip, port, err := transport.FinalAdvertiseAddr("", 0)
	if err != nil {
		return err
	}
	self := peer{facts: c.config.Facts, life: life(now.UnixNano()), since: now}
	self.node = memberlist.Node{Name: memberName(self.facts.Name, self.life), Addr: ip, Port: uint16(port)}
	c.name, c.port = self.node.Name, port
	c.view = newView(self)
	c.view.window.sample(now, c.config.Sample())

	conf := memberlist.DefaultLANConfig()
	conf.Name = c.name
	conf.Transport = transport
	conf.BindPort = port
	conf.SecretKey = c.config.Key
	conf.TCPTimeout = streamTimeout
	conf.RetransmitMult, conf.GossipNodes = retransmitMult, gossipNodes
	conf.EnableCompression = false // it halves 2 kB/s and costs three times the CPU (docs/gossip.md)
	conf.Delegate, conf.Events, conf.Alive = delegate{c}, delegate{c}, delegate{c}
	conf.Logger = log.New(c.rumours, "", 0)
	c.list, err = memberlist.Create(conf)
	return err
}

// allows is Config's Allow, for addresses of any origin.
func (c *Cluster) allows(a netip.Addr) bool {
	return a.IsLoopback() || c.config.Allow == nil || c.config.Allow(a)
}

// Members is a snapshot in order of numbers, then names. Of two runs of one node only the newer is in it.
func (c *Cluster) Members() []Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view.members(time.Now())
}

// Changed gets a token when Members has changed since the last one was taken.
func (c *Cluster) Changed() <-chan struct{} { return c.changed }

// Addr is the host:port at which the others reach this node's gossip.
func (c *Cluster) Addr() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view.self.node.Address()
}

func (c *Cluster) alone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.view.others()) == 0
}

// keepTelling pushes the load window to one random member each second.
func (c *Cluster) keepTelling(ctx context.Context) {
	if !sleep(ctx, rand.N(time.Second)) {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.tell()
		case <-ctx.Done():
			return
		}
	}
}

func (c *Cluster) tell() {
	load := c.config.Sample()
	c.mu.Lock()
	now := time.Now()
	c.view.window.forget(now)
	c.view.window.sample(now, load)
	others := c.view.others()
	if len(others) == 0 {
		c.mu.Unlock()
		return
	}
	to := others[rand.IntN(len(others))].node
	message := encodeWindow(now, c.view.window.pick(now, windowEntries))
	c.mu.Unlock()
	// Nobody waits for it, and whoever misses it hears of it from another: an error says nothing that probes don't.
	_ = c.list.SendBestEffort(&to, message)
}

const leaveTimeout = 3 * time.Second

// Drain tells all members that this node takes no more jobs of others, and why, or that it does again. It returns when the others are being told.
func (c *Cluster) Drain(draining bool, why string) error {
	c.mu.Lock()
	facts := c.view.self.facts
	facts.Draining, facts.Why = draining, why
	meta, err := encodeFacts(facts)
	if err != nil { // no room for the words: that it drains matters more
		facts.Why = ""
		meta, err = encodeFacts(facts)
	}
	if err == nil {
		c.view.self.facts, c.meta = facts, meta
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	c.leaving.Lock() // memberlist must not be gone
	defer c.leaving.Unlock()
	if c.isClosed() {
		return errors.New("drain: the cluster is closed")
	}
	return c.list.UpdateNode(drainTimeout)
}

// drainTimeout is for memberlist to pass the news on to its first members.
const drainTimeout = 3 * time.Second

// Leave tells the others that this node goes, so that they need not find out. Close is still to be called.
func (c *Cluster) Leave(ctx context.Context) error {
	c.leaving.Lock()
	defer c.leaving.Unlock()
	if c.isClosed() {
		return errors.New("leave cluster: it is closed")
	}
	timeout := leaveTimeout
	if d, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(d))
	}
	if ctx.Err() != nil || timeout <= 0 {
		return fmt.Errorf("leave cluster: %w", context.Cause(ctx))
	}
	c.stop()
	if err := c.list.Leave(timeout); err != nil {
		return fmt.Errorf("leave cluster: %w", err)
	}
	return nil
}

// Close ends the gossip. Without a Leave before it, the others take some 10 s to notice.
func (c *Cluster) Close() error {
	c.stop()
	c.leaving.Lock()
	defer c.leaving.Unlock()
	c.mu.Lock()
	again := c.closed
	c.closed = true
	c.mu.Unlock()
	if again {
		return nil
	}
	err := c.list.Shutdown() // ends the dials that the loops may wait for
	c.loops.Wait()
	c.rumours.mute()
	if err != nil {
		return fmt.Errorf("close cluster: %w", err)
	}
	return nil
}

func (c *Cluster) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}
