// Command hosts is package hosts for a person: it starts a set of hosts, prints how to get into them, and ends them at
// the end of its standard input or at Ctrl-C. With arguments it runs them as a command on host 1 instead of waiting.
//
//	hosts -n 4 -cpu 0.5
//	hosts -n 4 mpmake -j
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"mexec/test/hosts"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	status, err := run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hosts:", err)
		status = 1
	}
	os.Exit(status)
}

func run(ctx context.Context) (status int, err error) {
	var c hosts.Config
	flag.IntVar(&c.N, "n", 4, "number of hosts")
	flag.IntVar(&c.Slots, "slots", 2, "slots of each")
	flag.Float64Var(&c.CPU, "cpu", 0, "CPUs that one host may use, 0: no limit")
	flag.BoolVar(&c.Loopback, "loopback", false, "loopback addresses instead of namespaces")
	flag.BoolVar(&c.Bare, "bare", false, "no daemons")
	flag.Parse()
	hs, err := hosts.Start(ctx, c)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, hs.Close()) }()
	if !c.Bare {
		if err := hs.WaitUp(ctx, c.N); err != nil {
			return 0, err
		}
	}
	if flag.NArg() > 0 {
		cmd := hs.All[0].Command(flag.Arg(0), flag.Args()[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		var exit *exec.ExitError
		if err := cmd.Run(); errors.As(err, &exit) {
			return max(1, exit.ExitCode()), nil
		} else if err != nil {
			return 0, err
		}
		return 0, nil
	}
	for _, h := range hs.All {
		fmt.Printf("%s  %-12s %s\n", h.Name, h.Addr, h.Enter())
	}
	done := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	return 0, nil
}
