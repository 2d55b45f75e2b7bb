package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// memberlist looks for nobody: whom it has once given up, after a partition of half a minute, it forgets for ever, and
// so do they (memberlist#222). So each node, once a minute, asks its seeds and those that it has lost whether they are
// there. Only addresses that are not members' now are asked, and one answer brings a whole half of the cluster back, so
// the cost does not grow with the cluster; to ask all seeds each time costs whole CPUs at some thousand nodes (#243).

const (
	rejoinEvery   = 60 * time.Second
	firstRetry    = time.Second
	seedsTimeout  = 10 * time.Second // for Seeds, and for each name that it returns
	joinRound     = 30 * time.Second
	joinsAtOnce   = 4
	joinsEnough   = 3
	streamTimeout = 5 * time.Second // dial and exchange with one
)

// settling is when a node that has just found the others compares all it knows with one of them. Gossip tells each news
// to a few, by chance: when many nodes start at once, some news misses somebody, and the next comparison that memberlist
// makes by itself may be a minute away.
var settling = []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second}

// keepJoined runs for the life of the cluster.
func (c *Cluster) keepJoined(ctx context.Context) {
	retry, settle, complained := firstRetry, settling, false
	for {
		asked, err := c.joinOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := rejoinEvery
		if c.alone() {
			settle = settling
			if asked > 0 || err != nil {
				if !complained {
					c.log.Warn("no seed answers: this node is alone for now", "asked", asked, "error", err)
					complained = true
				}
				wait = retry
				retry = min(2*retry, rejoinEvery)
			}
		} else {
			if complained {
				c.log.Info("this node is not alone any more", "members", len(c.Members()))
			}
			retry, complained = firstRetry, false
			for len(settle) > 0 {
				if !sleep(ctx, jitter(settle[0])) {
					return
				}
				settle = settle[1:]
				c.compare()
			}
		}
		if !sleep(ctx, jitter(wait)) {
			return
		}
	}
}

// compare exchanges all that is known with a random member. An error tells nothing that the probes do not.
func (c *Cluster) compare() {
	c.mu.Lock()
	others := c.view.others()
	c.mu.Unlock()
	if len(others) > 0 {
		_, _ = c.list.Join([]string{others[rand.IntN(len(others))].node.Address()})
	}
}

// joinOnce asks seeds and lost peers in random order until enough have answered. It returns how many were asked, and
// where none answered the last reason.
func (c *Cluster) joinOnce(ctx context.Context) (asked int, _ error) {
	ctx, cancel := context.WithTimeout(ctx, joinRound)
	defer cancel()
	candidates := c.candidates(ctx)
	rand.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })

	var (
		mu       sync.Mutex
		answered int
		last     error
		workers  sync.WaitGroup
	)
	next := func() (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		if len(candidates) == 0 || answered >= joinsEnough || ctx.Err() != nil {
			return "", false
		}
		seed := candidates[0]
		candidates = candidates[1:]
		return seed, true
	}
	for range joinsAtOnce {
		workers.Go(func() {
			for seed, ok := next(); ok; seed, ok = next() {
				n, good, err := c.ask(ctx, seed)
				mu.Lock()
				asked += n
				answered += good
				if err != nil {
					last = err
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	if answered > 0 {
		last = nil
	}
	return asked, last
}

func (c *Cluster) candidates(ctx context.Context) []string {
	var all []string
	if c.config.Seeds != nil {
		ctx, cancel := context.WithTimeout(ctx, seedsTimeout)
		defer cancel()
		all = append(all, c.config.Seeds(ctx)...)
	}
	c.mu.Lock()
	all = append(all, c.view.strangers(time.Now())...)
	c.mu.Unlock()
	slices.Sort(all)
	return slices.Compact(all)
}

// ask joins every address of one seed that is not a member's.
func (c *Cluster) ask(ctx context.Context, seed string) (asked, good int, err error) {
	lookup, cancel := context.WithTimeout(ctx, seedsTimeout)
	defer cancel()
	addrs, err := resolve(lookup, seed, c.port)
	if err != nil {
		return 0, 0, err
	}
	for _, a := range addrs {
		c.mu.Lock()
		known := c.view.knows(a.String())
		c.mu.Unlock()
		if known || ctx.Err() != nil {
			continue
		}
		asked++
		if _, e := c.list.Join([]string{a.String()}); e != nil {
			err = plain(e)
		} else {
			good++
		}
	}
	return asked, good, err
}

// plain takes the first error out of memberlist's list of one, whose text has several lines.
func plain(err error) error {
	if first := errors.Unwrap(err); first != nil {
		err = first
	}
	if strings.Contains(strings.ToLower(err.Error()), "no installed keys could decrypt") {
		return errors.New("a seed has another gossip key: it belongs to another cluster")
	}
	return err
}

// jitter spreads what many nodes do at the same period: a quarter more or less.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2)
}

// sleep says whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
