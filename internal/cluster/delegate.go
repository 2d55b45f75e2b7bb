package cluster

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// delegate is what memberlist calls. It does so with its own lock held: nothing here may call memberlist back.
type delegate struct{ *Cluster }

var (
	_ memberlist.Delegate      = delegate{}
	_ memberlist.EventDelegate = delegate{}
	_ memberlist.AliveDelegate = delegate{}
)

// NotifyAlive keeps out whoever could not be shown, or has an address that is not allowed.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	if n.Name == d.name {
		return nil
	}
	p, err := readPeer(time.Time{}, n)
	if err != nil {
		return err
	}
	if a, ok := netip.AddrFromSlice(n.Addr); !ok || !d.allows(a.Unmap()) {
		return fmt.Errorf("%s at %s is not in the allowed networks", p.facts.Name, net.IP(n.Addr))
	}
	return nil
}

func (d delegate) NotifyJoin(n *memberlist.Node) {
	now := time.Now()
	d.mu.Lock()
	var complaints []string
	if n.Name == d.name {
		d.view.self.node = *n
	} else if p, err := readPeer(now, n); err == nil && !d.closed {
		complaints = d.view.joined(p)
	}
	d.mu.Unlock()
	for _, c := range complaints {
		d.rumours.warn(c)
	}
	d.changes()
}

func (d delegate) NotifyUpdate(n *memberlist.Node) { d.NotifyJoin(n) }

func (d delegate) NotifyLeave(n *memberlist.Node) {
	d.mu.Lock()
	if !d.closed {
		d.view.left(time.Now(), n.Name)
	}
	d.mu.Unlock()
	d.changes()
}

func (d delegate) changes() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// NotifyMsg takes a load window.
func (d delegate) NotifyMsg(b []byte) {
	now := time.Now()
	reports, err := decodeWindow(now, b)
	if err != nil {
		d.rumours.warn("a member sends load that can't be read: is its version another one?", "error", err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.view.window.merge(now, reports)
}

func (d delegate) NodeMeta(int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.meta
}

func (d delegate) GetBroadcasts(int, int) [][]byte   { return nil }
func (d delegate) LocalState(bool) []byte            { return nil }
func (d delegate) MergeRemoteState(_ []byte, _ bool) {}
