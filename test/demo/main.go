// Command demo shows mexec at work: it builds real C projects with stock make on one host and with mpmake over all hosts
// of a set, in the same directory, and compares every object, archive and executable bit for bit.
//
//	demo              Lua 5.4 and Redis 7, as Debian has their sources
//	demo DIR [ARG…]   the project in DIR, built with make ARG…
//
// All it writes is below tmp/demo; what it has fetched stays there for the next time. It ends with status 0 only if all
// that both builds made is the same, apart from what two local builds do not make the same either.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"mexec/test/hosts"
)

const nodes = 4

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	flag.Parse()
	if err := run(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	base, err := filepath.Abs("tmp/demo")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	projects, err := theProjects(ctx, base, args)
	if err != nil {
		return err
	}

	share := float64(runtime.NumCPU()) / nodes
	hs, err := hosts.Start(ctx, hosts.Config{N: nodes, Slots: max(2, int(share)), CPU: share})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hs.Close()) }()
	if err := hs.WaitUp(ctx, nodes); err != nil {
		return err
	}
	if hs.Isolated() {
		fmt.Printf("%d hosts of %.2g CPUs, each a network namespace with its own mexecd\n", nodes, share)
	} else {
		fmt.Printf("%d mexecd on loopback addresses; they share this machine's CPUs, so expect no gain in time (as root they are namespaces)\n", nodes)
	}

	fmt.Println("what is built, and the output of each build: tmp/demo/build")

	differ := 0
	for _, p := range projects {
		b := workshop{project: p, hosts: hs, base: base}
		n, err := b.show(ctx)
		if err != nil {
			return err
		}
		differ += n
	}
	if differ > 0 {
		return fmt.Errorf("%d files differ from those of a local build", differ)
	}
	fmt.Println("\nPASS: what mpmake built over all hosts is what make builds on one")
	return nil
}
