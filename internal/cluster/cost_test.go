package cluster

import (
	"flag"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var costs = flag.String("cost", "", "measure the cost of gossip for these numbers of nodes, as in 32,128 (docs/gossip.md)")

// TestCost is a measurement, not a test: it prints the table of docs/gossip.md.
func TestCost(t *testing.T) {
	if *costs == "" {
		t.Skip("no -cost")
	}
	t.Logf("%6s %10s %12s %12s %10s %10s %10s", "nodes", "B/s each", "CPU ms/s each", "all see all", "age p50", "age p90", "death known")
	for _, s := range strings.Split(*costs, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		inVirtualTime(t, func(t *testing.T, f *fleet) {
			f.start(1, n)
			joined := f.agree(5*time.Minute, numbers(1, n))
			time.Sleep(time.Minute)

			const window = time.Minute
			bytes, cpu := f.net.bytes.Load(), cpuTime(t)
			time.Sleep(window)
			synctest.Wait()
			perNode := window.Seconds() * float64(n)
			rate := float64(f.net.bytes.Load()-bytes) / perNode
			used := float64((cpuTime(t) - cpu).Microseconds()) / 1000 / perNode

			var ages []time.Duration
			for i := range f.nodes {
				for _, m := range f.nodes[i].Members() {
					ages = append(ages, m.Age)
				}
			}
			slices.Sort(ages)

			f.net.mu.Lock()
			delete(f.net.hosts, address(n)) // it falls silent, and goes on believing that all is well
			f.net.mu.Unlock()
			rest := numbers(1, n-1)
			death := await(t, 2*time.Minute, "the death is known", func() bool {
				return !slices.ContainsFunc(rest, func(i int) bool { return len(f.sees(i)) != n-1 })
			})
			t.Logf("%6d %10.0f %12.2f %12v %10.1fs %10.1fs %10.1fs", n, rate, used, joined,
				ages[len(ages)/2].Seconds(), ages[len(ages)*9/10].Seconds(), death.Seconds())
		})
	}
}

func cpuTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
