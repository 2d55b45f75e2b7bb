package cluster

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mexec"
	"mexec/internal/logtest"
)

// fleet is a cluster in memory. Node i has number i, name "ni", address 10.0.x.y, and i jobs running, so that a load
// that lands at the wrong node shows.
type fleet struct {
	t     *testing.T
	net   *network
	nodes map[int]*Cluster
	seeds []int
	log   *logtest.Log
}

func newFleet(t *testing.T) *fleet {
	return &fleet{t: t, net: newNetwork(), nodes: make(map[int]*Cluster), seeds: []int{1}, log: new(logtest.Log)}
}

var testKey = bytes.Repeat([]byte{7}, 32)

func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Port)
}

func (f *fleet) config(i int) Config {
	return Config{
		Facts: Facts{Number: i, Name: mexec.NodeID(fmt.Sprintf("n%d", i)), Link: fmt.Sprintf("%s:7946", address(i).Addr()),
			Slots: 4, Version: "0.1.0", Arch: "x86_64", Boot: "b"},
		Key: testKey,
		Seeds: func(context.Context) (all []string) {
			for _, s := range f.seeds {
				all = append(all, address(s).Addr().String())
			}
			return all
		},
		Sample:    func() Load { return Load{Slots: 4, Busy: i, Load: float64(i) / 2} },
		Log:       slog.New(slog.NewTextHandler(f.log, nil)),
		Transport: f.net.host(address(i)),
	}
}

func (f *fleet) start(from, to int) {
	for i := from; i <= to; i++ {
		f.startWith(i, f.config(i))
	}
}

func (f *fleet) startWith(i int, config Config) *Cluster {
	f.t.Helper()
	c, err := Start(context.Background(), config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.nodes[i] = c
	return c
}

func (f *fleet) close(i int) {
	if err := f.nodes[i].Close(); err != nil {
		f.t.Error(err)
	}
	delete(f.nodes, i)
}

func (f *fleet) closeAll() {
	for i := range f.nodes {
		f.close(i)
	}
}

// sees lists the numbers of the members that node i sees.
func (f *fleet) sees(i int) (all []int) {
	for _, m := range f.nodes[i].Members() {
		all = append(all, m.Number)
	}
	return all
}

func numbers(from, to int) (all []int) {
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	return all
}

// await polls until cond holds, and returns how long that took.
func await(t *testing.T, limit time.Duration, what string, cond func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !cond() {
		if time.Since(start) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(start)
}

// agree waits until each of the nodes sees exactly these.
func (f *fleet) agree(limit time.Duration, nodes []int) time.Duration {
	f.t.Helper()
	return await(f.t, limit, fmt.Sprintf("nodes %v see each other and no others", nodes), func() bool {
		for _, i := range nodes {
			if !slices.Equal(f.sees(i), nodes) {
				return false
			}
		}
		return true
	})
}

// inVirtualTime runs a test of a fleet in a bubble, and closes the fleet inside of it.
func inVirtualTime(t *testing.T, test func(t *testing.T, f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer func() {
			f.closeAll()
			time.Sleep(15 * time.Second) // virtual: until memberlist's last probes have ended, as the package doc says
		}()
		test(t, f)
	})
}

func TestEveryNodeSeesEveryOther(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, f *fleet) {
		f.start(1, 32)
		took := f.agree(30*time.Second, numbers(1, 32))
		t.Logf("32 nodes agree after %v", took)
		for i, m := range f.nodes[5].Members() {
			if want := f.config(i + 1).Facts; m.Facts != want || m.Self != (i == 4) || m.Addr != address(i+1).String() {
				t.Errorf("node 5 sees %+v, want %+v", m, want)
			}
		}
	})
}

// The seed comes up last: everybody else must keep asking for it, quickly, and say so once.
func TestNodesFindASeedThatStartsLate(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, f *fleet) {
		f.start(2, 5)
		time.Sleep(20 * time.Second)
		if got := f.sees(3); !slices.Equal(got, []int{3}) {
			t.Fatalf("without a seed node 3 sees %v", got)
		}
		if n := f.log.Count("no seed answers"); n != 4 {
			t.Errorf("4 lonely nodes complained %d times:\n%s", n, f.log)
		}
		f.start(1, 1)
		f.agree(time.Minute, numbers(1, 5))
	})
}

// memberlist#222: after GossipToTheDeadTime both sides forget each other for ever.
func TestAPartitionHealsHoweverLongItLasted(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, f *fleet) {
		f.start(1, 8)
		f.agree(30*time.Second, numbers(1, 8))
		f.seeds = nil // only those who were lost may be asked
		f.net.split(func(a netip.Addr) bool { return a.As4()[3] <= 3 })
		time.Sleep(3 * time.Minute) // six times the time after which memberlist forgets
		f.agree(0, numbers(1, 3))
		f.agree(0, numbers(4, 8))
		f.net.split(nil)
		took := f.agree(90*time.Second, numbers(1, 8))
		t.Logf("healed after %v", took)
	})
}

// memberlist#311: who restarts under its old name can stay dead for the others.
func TestAMassRestartIsSeenAtOnce(t *testing.T) {
	const all = 8
	for _, survivors := range []int{0, 1, 4} {
		t.Run(fmt.Sprintf("%d of %d survive", survivors, all), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, f *fleet) {
				f.start(1, all)
				f.agree(30*time.Second, numbers(1, all))
				time.Sleep(10 * time.Second)
				for i := survivors + 1; i <= all; i++ {
					f.close(i)
				}
				time.Sleep(time.Second)
				restart := time.Now()
				f.start(survivors+1, all)
				// Seeing a number is not enough: it must be the new life of it.
				took := await(t, 30*time.Second, "all see the new lives", func() bool {
					for i := range f.nodes {
						members := f.nodes[i].Members()
						if len(members) != all || slices.ContainsFunc(members, func(m Member) bool {
							return m.Number > survivors && m.Since.Before(restart)
						}) {
							return false
						}
					}
					return true
				})
				t.Logf("after %v", took)
				time.Sleep(time.Minute) // the former lives are found dead now, and must not take the new ones along
				f.agree(0, numbers(1, all))
			})
		})
	}
}

func TestASilentDeathIsKnownToAll(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, f *fleet) {
		f.start(1, 16)
		f.agree(30*time.Second, numbers(1, 16))
		dead := address(16).Addr()
		f.net.split(func(a netip.Addr) bool { return a == dead })
		took := f.agree(30*time.Second, numbers(1, 15))
		t.Logf("known to all after %v", took)
		f.net.split(nil)
		f.agree(2*time.Minute, numbers(1, 16))
	})
}

func TestAGoodbyeIsSeenByAll(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, f *fleet) {
		f.start(1, 8)
		f.agree(30*time.Second, numbers(1, 8))
		if err := f.nodes[8].Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.close(8)
		f.agree(20*time.Second, numbers(1, 7)) // most know at once; whom the news misses finds out by probing
	})
}

func TestLoadsAreRightAndMostlyFresh(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, f *fleet) {
		f.start(1, 32)
		f.agree(30*time.Second, numbers(1, 32))
		time.Sleep(30 * time.Second)
		var ages []time.Duration
		for i := range f.nodes {
			for _, m := range f.nodes[i].Members() {
				if m.Age == Never {
					t.Fatalf("node %d has heard nothing of %d", i, m.Number)
				}
				if want := (Load{Slots: 4, Busy: m.Number, Load: float64(m.Number) / 2}); m.Load != want {
					t.Fatalf("node %d believes %+v of %d, want %+v", i, m.Load, m.Number, want)
				}
				if m.Self && m.Age > time.Second {
					t.Errorf("node %d: its own load is %v old", i, m.Age)
				}
				ages = append(ages, m.Age)
			}
		}
		slices.Sort(ages)
		p50, p90 := ages[len(ages)/2], ages[len(ages)*9/10]
		t.Logf("ages: half below %v, nine tenths below %v, all below %v", p50, p90, ages[len(ages)-1])
		if p50 > 6*time.Second || p90 > 12*time.Second {
			t.Errorf("loads are %v old, nine tenths below %v", p50, p90)
		}
	})
}

func TestANumberClaimedTwiceIsSaidOnceAndBothStay(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, f *fleet) {
		f.start(1, 2)
		c := f.config(3)
		c.Facts.Number = 2
		f.startWith(3, c)
		await(t, 20*time.Second, "all see all", func() bool {
			return len(f.sees(1)) == 3 && len(f.sees(2)) == 3 && len(f.sees(3)) == 3
		})
		time.Sleep(3 * time.Minute)
		if n := f.log.Count("nodes n2 and n3 both claim number 2"); n != 3 {
			t.Errorf("3 nodes said it %d times:\n%s", n, f.log)
		}
		if m := f.nodes[1].Members(); m[1].Name != "n2" || m[2].Name != "n3" {
			t.Errorf("members %+v", m)
		}
	})
}

func TestTheNewerOfTwoDaemonsOfOneNameWins(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, f *fleet) {
		f.start(1, 2)
		f.agree(20*time.Second, numbers(1, 2))
		c := f.config(3)
		c.Facts.Name, c.Facts.Number = "n2", 2
		f.startWith(3, c)
		link := c.Facts.Link
		await(t, 20*time.Second, "node 1 sees the newer one", func() bool {
			m := f.nodes[1].Members()
			return len(m) == 2 && m[1].Link == link
		})
		await(t, 20*time.Second, "the older one says so", func() bool {
			return f.log.Count("has started with the name of this one") == 1
		})
		if m := f.nodes[2].Members(); len(m) != 2 || !m[1].Self {
			t.Errorf("the older one sees %+v, itself must be in it", m)
		}
		// A node that was newer and is gone leaves the place to the one that is still there.
		f.close(3)
		await(t, time.Minute, "node 1 sees the older one again", func() bool {
			m := f.nodes[1].Members()
			return len(m) == 2 && m[1].Link == f.config(2).Facts.Link
		})
	})
}

func TestAnotherClustersGossipIsOneClearLineAMinute(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, f *fleet) {
		f.start(1, 2)
		f.agree(20*time.Second, numbers(1, 2))
		var strangers logtest.Log
		c := f.config(3)
		c.Key = bytes.Repeat([]byte{8}, 32)
		c.Log = slog.New(slog.NewTextHandler(&strangers, nil))
		f.startWith(3, c)
		// Packets too, as from a cluster whose address plan overlaps with ours.
		for range 120 {
			for range 50 {
				h := f.nodes[3].config.Transport
				h.WriteTo(bytes.Repeat([]byte{9}, 100), address(1).String())
			}
			time.Sleep(time.Second)
		}
		if got := f.sees(1); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("node 1 sees %v", got)
		}
		if n := f.log.Count(otherCluster); n < 1 || n > 3 {
			t.Errorf("in 2 minutes it was said %d times:\n%s", n, f.log)
		}
		if n := strings.Count(f.log.String(), "\n"); n > 4 {
			t.Errorf("%d lines:\n%s", n, f.log)
		}
		if strangers.Count("another gossip key") != 1 {
			t.Errorf("the stranger was not told why nobody answers:\n%s", &strangers)
		}
	})
}

func TestOnlyAllowedAddressesAreMembers(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, f *fleet) {
		c := f.config(1)
		c.Allow = func(a netip.Addr) bool { return a != address(3).Addr() }
		f.startWith(1, c)
		f.start(2, 3)
		time.Sleep(2 * time.Minute)
		if got := f.sees(1); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("node 1 sees %v", got)
		}
		if n := f.log.Count("a member is not let into the view"); n < 1 || n > 4 {
			t.Errorf("said %d times:\n%s", n, f.log)
		}
	})
}

func TestChangesThatComeTogetherMakeOneToken(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, f *fleet) {
		f.start(1, 1)
		<-f.nodes[1].Changed() // itself
		f.start(2, 8)
		f.agree(20*time.Second, numbers(1, 8))
		synctest.Wait()
		<-f.nodes[1].Changed()
		time.Sleep(time.Minute) // loads change all the time
		select {
		case <-f.nodes[1].Changed():
			t.Error("a token without a change")
		default:
		}
		f.close(8)
		select {
		case <-f.nodes[1].Changed():
		case <-time.After(30 * time.Second):
			t.Error("no token after a death")
		}
	})
}

func TestCloseIsBoundedWhateverIsUnderWay(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, f *fleet) {
		f.seeds = numbers(100, 110) // nobody there: dials are always under way
		c := f.config(1)
		asked := make(chan struct{}, 10)
		seeds := c.Seeds
		c.Seeds = func(ctx context.Context) []string {
			asked <- struct{}{}
			return seeds(ctx)
		}
		f.startWith(1, c)
		<-asked
		time.Sleep(time.Second)
		start := time.Now()
		if err := f.nodes[1].Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("Close took %v", d)
		}
		if err := f.nodes[1].Close(); err != nil {
			t.Errorf("the second Close: %v", err)
		}
		if err := f.nodes[1].Leave(t.Context()); err == nil {
			t.Error("Leave after Close: no error")
		}
		if got := f.sees(1); !slices.Equal(got, []int{1}) {
			t.Errorf("after Close Members is %v", got)
		}
	})
}

func TestABadConfigurationIsOneClearError(t *testing.T) {
	f := newFleet(t)
	for want, spoil := range map[string]func(*Config){
		"start cluster: gossip key: ":                       func(c *Config) { c.Key = []byte("short") },
		"start cluster: encode facts: node number 0":        func(c *Config) { c.Facts.Number = 0 },
		"start cluster: encode facts: no node name":         func(c *Config) { c.Facts.Name = "" },
		`start cluster: encode facts: node name "a#b"`:      func(c *Config) { c.Facts.Name = "a#b" },
		"start cluster: encode facts: 6":                    func(c *Config) { c.Facts.Boot = strings.Repeat("x", 600) },
		"start cluster: no sample":                          func(c *Config) { c.Sample = nil },
		`start cluster: listen for gossip on "nowhere": `:   func(c *Config) { c.Transport, c.Bind = nil, "nowhere" },
		"start cluster: advertise gossip at a/b: read seed": func(c *Config) { c.Transport, c.Bind, c.Advertise = nil, "127.0.0.1:0", "a/b" },
	} {
		c := f.config(1)
		spoil(&c)
		got, err := Start(t.Context(), c)
		if err == nil {
			got.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestThatANodeDrainsIsKnownToAllWithinASecondOrSo(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, f *fleet) {
		f.start(1, 32)
		f.agree(30*time.Second, numbers(1, 32))
		known := func(draining bool, why string) func() bool {
			return func() bool {
				for i := range f.nodes {
					for _, m := range f.nodes[i].Members() {
						if m.Number == 7 && (m.Draining != draining || m.Why != why) {
							return false
						}
					}
				}
				return true
			}
		}
		// Gossip goes to members chosen by chance: one time tells little.
		for i := range 60 {
			draining, why := i%3 < 2, [...]string{"a new disk", "a new fan", ""}[i%3]
			if err := f.nodes[7].Drain(draining, why); err != nil {
				t.Fatal(err)
			}
			await(t, 3*time.Second, fmt.Sprintf("all 32 know, at news %d, %v %q", i, draining, why), known(draining, why))
		}
		// Who comes later is told, too.
		if err := f.nodes[7].Drain(true, "again"); err != nil {
			t.Fatal(err)
		}
		f.start(33, 33)
		f.agree(30*time.Second, numbers(1, 33))
		await(t, 3*time.Second, "the new one knows", known(true, "again"))
		if err := f.nodes[7].Drain(true, strings.Repeat("x", 600)); err != nil {
			t.Fatal(err)
		}
		await(t, 3*time.Second, "a reason without room is left out", known(true, ""))
	})
}
