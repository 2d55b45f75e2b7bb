package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"mexec/test/hosts"
	"mexec/test/same"
)

// measure lets the systems take turns on each number of hosts. Every build is written down as it ends: who is interrupted keeps what there is.
func measure(ctx context.Context, o options) error {
	y, err := newYard(ctx, o.project)
	if err != nil {
		return err
	}
	for _, n := range o.hosts {
		if err := measureOn(ctx, o, y, n); err != nil {
			return err
		}
	}
	return nil
}

func measureOn(ctx context.Context, o options, y *yard, n int) (err error) {
	g, err := newGround(ctx, o, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	limit, err := g.limit(ctx, y)
	if err != nil {
		return err
	}
	if err := record(limit); err != nil {
		return err
	}
	fmt.Printf("%s: the bound is %.1f s\n", limit.Scenario, limit.Bound)
	for round := range o.rounds {
		for _, name := range o.systems {
			b, err := g.turn(ctx, y, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			b.Round = round + 1
			if err := record(b); err != nil {
				return err
			}
			fmt.Println(b)
		}
	}
	return nil
}

// turn is one build by one system; of several homes, one build of each at once.
func (g *ground) turn(ctx context.Context, y *yard, name string) (b build, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	s := contestants[name]()
	if err := s.up(ctx, g); err != nil {
		return b, errors.Join(err, g.down())
	}
	defer func() { err = errors.Join(err, g.down(), g.stopMexec()) }()
	all, homes := g.stage(s)
	works := make([]string, len(homes))
	for i := range homes {
		works[i] = "work"
		if i > 0 {
			works[i] += strconv.Itoa(i + 1)
		}
		if _, err := y.fresh(ctx, works[i]); err != nil {
			return b, err
		}
	}
	b = build{Scenario: g.scenario(), Label: g.label, System: name, At: time.Now(), Command: s.call(g, homes[0], g.project).String(), Each: make([]float64, len(homes))}
	b.Command = strings.ReplaceAll(b.Command, g.dir, "$DIR")
	before, err := g.account(all)
	if err != nil {
		return b, err
	}
	sampler := newSampler(all)
	errs := make([]error, len(homes))
	var wg sync.WaitGroup
	for i, home := range homes {
		wg.Go(func() {
			began := time.Now()
			errs[i] = g.build(ctx, home, y, works[i], name, s.call(g, home, g.project))
			b.Each[i] = time.Since(began).Seconds()
		})
	}
	wg.Wait()
	samples := sampler.stop()
	after, err := g.account(all)
	if err := errors.Join(append(errs, err)...); err != nil {
		return b, err
	}
	b.account(before, after)
	if name == "mexec" {
		if b.Loss, err = g.loss(y.path(name+".json"), samples, b); err != nil {
			return b, err
		}
	}
	if name == "smp" {
		err = y.keep(works[0], "smp")
	} else if _, e := os.Stat(y.path("smp")); e == nil {
		var different []string
		b.Same, different, err = same.Compare(y.path("smp"), y.path(works[0]))
		b.Of = b.Same + len(different)
	}
	return b, err
}

// build runs one call in a directory, to its end.
func (g *ground) build(ctx context.Context, home *hosts.Host, y *yard, work, name string, c call) error {
	log, err := os.Create(y.path(name + "." + work + ".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	if name == "mexec" && work == "work" {
		c.env = append(c.env, "MEXEC_TRACE="+y.path(name+".json"))
	}
	cmd := g.command(ctx, home, c)
	cmd.Dir = y.path(work)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w; see %s", c, err, log.Name())
	}
	return nil
}

// account is what has been used so far.
type account struct {
	at        time.Time
	used      []time.Duration // by each host
	throttled []time.Duration
	daemon    []time.Duration // mexec's
	machine   time.Duration   // by all that runs on this machine
}

func (g *ground) account(all []*hosts.Host) (a account, err error) {
	a.at = time.Now()
	for _, h := range all {
		used, err := h.CPU()
		throttled, e := h.Throttled()
		if err := errors.Join(err, e); err != nil {
			return a, err
		}
		a.used, a.throttled = append(a.used, used), append(a.throttled, throttled)
		if h.Daemon() != 0 {
			daemon, err := h.DaemonCPU()
			if err != nil {
				return a, err
			}
			a.daemon = append(a.daemon, daemon)
		}
	}
	a.machine, err = machineCPU()
	return a, err
}

// machineCPU is what all CPUs together were busy for: proc_stat(5), in ticks of 10 ms.
func machineCPU() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	field := strings.Fields(line)
	var busy time.Duration
	for i, f := range field[1:] {
		if i == 3 || i == 4 || i > 7 { // idle, iowait; guests are counted as users too
			continue
		}
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/stat: %w", err)
		}
		busy += time.Duration(n) * 10 * time.Millisecond
	}
	return busy, nil
}

// account fills in what a build used between two readings.
func (b *build) account(before, after account) {
	b.Elapsed = after.at.Sub(before.at).Seconds()
	for i := range after.used {
		used := (after.used[i] - before.used[i]).Seconds()
		b.Used = append(b.Used, used)
		b.CPU += used
		b.Throttled = append(b.Throttled, (after.throttled[i] - before.throttled[i]).Seconds())
	}
	for i := range after.daemon {
		b.Daemons = append(b.Daemons, (after.daemon[i] - before.daemon[i]).Seconds())
	}
	b.Others = max(0, (after.machine-before.machine).Seconds()-b.CPU)
}

// sampler looks at what each host has used, many times during a build.
type sampler struct {
	all  []*hosts.Host
	end  chan struct{}
	gone chan []sample
}

// sample is what each host had used at a moment of the build.
type sample struct {
	at   time.Duration
	used []time.Duration
}

const samplePeriod = 100 * time.Millisecond

func newSampler(all []*hosts.Host) *sampler {
	s := &sampler{all, make(chan struct{}), make(chan []sample)}
	go func() {
		began := time.Now()
		tick := time.NewTicker(samplePeriod)
		defer tick.Stop()
		var seen []sample
		for {
			now := sample{at: time.Since(began)}
			for _, h := range all {
				used, _ := h.CPU()
				now.used = append(now.used, used)
			}
			seen = append(seen, now)
			select {
			case <-s.end:
				s.gone <- seen
				return
			case <-tick.C:
			}
		}
	}()
	return s
}

func (s *sampler) stop() []sample {
	close(s.end)
	return <-s.gone
}
