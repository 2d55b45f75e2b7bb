package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"mexec/test/hosts"
)

// A contestant is one way to run a command.
type contestant struct {
	name  string
	argv  []string
	fewer int // it runs only one in so many commands: it is slow
}

// A result is what one contestant needed for a command, in the median round.
type result struct {
	name string
	each time.Duration
}

// field is where the races are run: host 1.
type field struct {
	options
	spawn string
	host  *hosts.Host
}

// race lets the contestants take turns, so that a busy moment of the machine hits all of them.
func (f *field) race(ctx context.Context, inflight int, cs []contestant) ([]result, error) {
	took := make([][]time.Duration, len(cs))
	commands := f.commands
	if inflight > 1 {
		commands *= 8
	}
	for round := range f.rounds + 1 {
		for i, c := range cs {
			n := max(inflight, commands/max(1, c.fewer))
			d, err := f.run(ctx, n, inflight, c.argv)
			if err != nil {
				return nil, err
			}
			if round > 0 { // the first one warms connections and caches
				took[i] = append(took[i], d/time.Duration(n))
			}
		}
		fmt.Fprintf(os.Stderr, "bench: %d in flight, round %d of %d\n", inflight, round, f.rounds)
	}
	var rs []result
	for i, c := range cs {
		slices.Sort(took[i])
		rs = append(rs, result{c.name, took[i][len(took[i])/2]})
	}
	return rs, nil
}

func (f *field) run(ctx context.Context, count, inflight int, argv []string) (time.Duration, error) {
	args := append([]string{strconv.Itoa(count), strconv.Itoa(inflight)}, argv...)
	cmd := f.host.CommandContext(ctx, f.spawn, args...)
	out, err := cmd.Output()
	if err != nil {
		var said []byte
		if exit, ok := err.(*exec.ExitError); ok {
			said = exit.Stderr
		}
		return 0, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, said)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return time.Duration(ns), err
}
