// Command bench measures what mexec costs, as ratios within one run on one machine: absolute times say more about the
// machine than about us. It starts two test hosts without a limit on the CPU, so that both daemons share these cores, and
// takes the median of several rounds in which the contestants take turns.
//
// It prints a table and writes it to docs/BENCH.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"mexec/test/hosts"
)

const inflight = 64

type options struct {
	rounds   int
	commands int
	soak     int
	out      string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var o options
	flag.IntVar(&o.rounds, "rounds", 7, "rounds, of which the median counts")
	flag.IntVar(&o.commands, "commands", 300, "commands per contestant and round")
	flag.IntVar(&o.soak, "soak", 100000, "commands of the soak, 0: none")
	flag.StringVar(&o.out, "o", "docs/BENCH.md", "where the table goes")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "mexec-bench.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	spawn := filepath.Join(dir, "spawn")
	if out, err := exec.CommandContext(ctx, "cc", "-O2", "-o", spawn, "bench/spawn/spawn.c").CombinedOutput(); err != nil {
		return fmt.Errorf("compile bench/spawn/spawn.c: %w: %s", err, out)
	}
	bin, err := filepath.Abs("bin")
	if err != nil {
		return err
	}

	hs, err := hosts.Start(ctx, hosts.Config{N: 2, Slots: inflight})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hs.Close()) }()
	if err := hs.WaitUp(ctx, 2); err != nil {
		return err
	}
	ssh, err := startSSH(ctx, dir, hs)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: without ssh:", err)
	}

	f := field{spawn: spawn, host: hs.All[0], options: o}
	there := []string{filepath.Join(bin, "mexec"), "-n", hs.All[1].Name, "/bin/true"}
	here := []string{filepath.Join(bin, "mexec"), "-n", hs.All[0].Name, "/bin/true"}
	plain := contestant{name: "posix_spawn of /bin/true, here", argv: []string{"/bin/true"}}

	var r report
	one := []contestant{plain, {"mexec -n node2 /bin/true", there, 1}, {"mexec -n node1 /bin/true (stays here)", here, 1},
		{"mexec --version (the stub alone)", []string{filepath.Join(bin, "mexec"), "--version"}, 1}}
	many := []contestant{plain, {"mexec -n node2 /bin/true", there, 1}}
	if ssh != nil {
		one = append(one, contestant{"ssh node2 /bin/true, ControlMaster", ssh, 8})
		many = append(many, contestant{"ssh node2 /bin/true, ControlMaster", ssh, 8})
	}
	if r.one, err = f.race(ctx, 1, one); err != nil {
		return err
	}
	if r.many, err = f.race(ctx, inflight, many); err != nil {
		return err
	}
	if r.stub, err = waitingStub(ctx, hs); err != nil {
		return err
	}
	if o.soak > 0 {
		if r.soak, err = f.soak(ctx, hs, there); err != nil {
			return err
		}
	}
	text := r.markdown(o)
	fmt.Print(text)
	return os.WriteFile(o.out, []byte(text), 0o644)
}
