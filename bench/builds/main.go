// Command builds measures whole builds on small hosts, beside what else people use: mexec, recipes over ssh, distcc, distcc-pump and icecc on the very same hosts, and
// plain make on one host that has all their CPUs, the perfect cluster. All take turns in one run. It also records which recipe waits for which and what each takes, and
// computes from that how long the build must take on those hosts (package bound), and it says where mexec's time went that the bound does not need.
//
// The hosts are network namespaces with an address and a CPU quota each, on one machine, so it needs root, and a machine that does nothing else: what others used of
// its CPUs in the meantime is part of what is written down. Each build is a line of tmp/builds/runs.jsonl; docs/BUILDS.md is made of all lines there.
//
//	go run ./bench/builds -hosts 8 -rounds 3
//	go run ./bench/builds -page
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

type options struct {
	hosts   []int
	systems []string
	rounds  int
	project project
	cpu     float64 // of each host
	weight  float64 // of the hosts against what else runs on the machine
	quarter bool    // the last host has a quarter of that
	homes   int     // hosts that build at once
	slots   int     // of mexec's nodes
	jobs    int     // -j of mpmake, 0: none
	bin     string  // where mexec's programs are
	again   bool    // record the graph anew
	label   string  // what is tried
	out     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var o options
	counts := flag.String("hosts", "1,2,4,8", "numbers of hosts")
	names := flag.String("systems", "smp,mexec,ssh,sshc,distcc,pump,icecc", "who takes part, in this order")
	name := flag.String("project", "git", "what is built: git, or lua for a quick look")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds, of which the median counts")
	flag.Float64Var(&o.cpu, "cpu", 0.2, "CPUs of each host")
	flag.Float64Var(&o.weight, "weight", 1, "weight of the hosts against a process of something else on the machine")
	flag.BoolVar(&o.quarter, "quarter", false, "the last host has a quarter of that")
	flag.IntVar(&o.homes, "homes", 1, "hosts that build at once, each a tree of its own")
	flag.IntVar(&o.slots, "slots", 1, "slots of each node of mexec")
	flag.IntVar(&o.jobs, "j", 0, "-j of mpmake; 0: none, the room decides")
	flag.StringVar(&o.bin, "bin", "", "where mexec's programs are; empty: bin of this module")
	flag.BoolVar(&o.again, "record", false, "record the graph of the recipes anew, though there is one")
	flag.StringVar(&o.label, "label", "", "a word that keeps runs of a trial apart from the others")
	flag.StringVar(&o.out, "o", "docs/BUILDS.md", "the page")
	only := flag.Bool("page", false, "measure nothing, make the page of what was measured")
	flag.Parse()
	err := o.parse(*counts, *names, *name)
	if err == nil && !*only {
		err = measure(ctx, o)
	}
	if err == nil {
		err = writePage(o.out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "builds:", err)
		os.Exit(1)
	}
}

func (o *options) parse(counts, names, name string) error {
	for _, c := range strings.Split(counts, ",") {
		n, err := strconv.Atoi(c)
		if err != nil || n < 1 || n > 64 || o.homes > n {
			return fmt.Errorf("-hosts %s: not numbers of hosts from %d to 64", counts, max(1, o.homes))
		}
		o.hosts = append(o.hosts, n)
	}
	for _, s := range strings.Split(names, ",") {
		if contestants[s] == nil {
			return fmt.Errorf("-systems %s: there is no %q", names, s)
		}
		o.systems = append(o.systems, s)
	}
	p, ok := projects[name]
	if !ok {
		return fmt.Errorf("-project %s: it is git or lua", name)
	}
	o.project = p
	return nil
}
