package cluster

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mexec"
	"mexec/internal/logtest"
)

// Real sockets: three daemons on 127.0.0.1, .2 and .3, one port for all as on real hosts, and seeds of every form.
func TestARealClusterOnLoopback(t *testing.T) {
	others := goleak.IgnoreCurrent()
	var book logtest.Log
	start := func(i int, bind string, allow func(netip.Addr) bool, key byte, seeds ...string) *Cluster {
		t.Helper()
		c, err := Start(t.Context(), Config{
			Facts:  Facts{Number: i, Name: mexec.NodeID(fmt.Sprintf("n%d", i)), Link: "127.0.0.1:1", Slots: i},
			Bind:   bind,
			Key:    bytes.Repeat([]byte{key}, 32),
			Seeds:  func(context.Context) []string { return seeds },
			Sample: func() Load { return Load{Slots: i, Busy: i} },
			Allow:  allow,
			Log:    slog.New(slog.NewTextHandler(&book, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	nobody := func(netip.Addr) bool { return false } // loopback is always allowed
	a := start(1, "127.0.0.1:0", nobody, 1)
	_, port, _ := net.SplitHostPort(a.Addr())
	b := start(2, "127.0.0.2:"+port, nobody, 1, "no-such-host.invalid", "127.0.0.1")
	c := start(3, "127.0.0.3:"+port, nobody, 1, "localhost:"+port)
	stranger := start(4, "127.0.0.4:"+port, nobody, 2, "127.0.0.1")
	for _, x := range []*Cluster{a, b, c} {
		await(t, 20*time.Second, "all see all, with loads", func() bool {
			m := x.Members()
			return len(m) == 3 && m[0].Age != Never && m[1].Age != Never && m[2].Age != Never && m[2].Busy == 3
		})
	}
	await(t, 10*time.Second, "the stranger is refused", func() bool { return book.Count(otherCluster) > 0 })
	if n := len(stranger.Members()); n != 1 {
		t.Errorf("the stranger sees %d members", n)
	}
	if err := c.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	await(t, 10*time.Second, "the goodbye is seen", func() bool { return len(a.Members()) == 2 })
	for _, x := range []*Cluster{c, stranger, b, a} {
		began := time.Now()
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("Close took %v", d)
		}
	}
	before := book.String()
	// The port is free again at once, for both protocols.
	s, err := listen(a.Addr(), a.allows, func(netip.Addr) {})
	if err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	await(t, 15*time.Second, "no goroutine is left, memberlist's last probes included", func() bool { return goleak.Find(others) == nil })
	if book.String() != before {
		t.Error("something was logged after Close")
	}
}

// The fence stands before the decryption: what comes from outside the allowed networks reaches no decoder.
func TestTheFenceDropsPacketsAndConnectionsOfStrangers(t *testing.T) {
	refused := make(chan netip.Addr, 10)
	s, err := listen("127.0.0.1:0", func(netip.Addr) bool { return false }, func(a netip.Addr) { refused <- a })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	for addr, want := range map[string]bool{"127.0.0.1": true, "::1": true, "::ffff:127.0.0.1": true, "10.0.0.1": false, "::ffff:10.0.0.1": false} {
		ap := netip.AddrPortFrom(netip.MustParseAddr(addr), 5)
		for _, a := range []net.Addr{net.UDPAddrFromAddrPort(ap), net.TCPAddrFromAddrPort(ap)} {
			if got := s.welcome(a); got != want {
				t.Errorf("%v: welcome is %v", a, got)
			}
			if !want && (<-refused).String() != "10.0.0.1" {
				t.Errorf("%v: somebody else was refused", a)
			}
		}
	}
}
