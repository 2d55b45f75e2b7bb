package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mexec/test/hosts"
)

// distcc is make with distcc in front of the compiler, or in its pump mode. Settings are those that its manual names: twice as many jobs as there are CPUs, which here are
// hosts; localhost first among them, unless it has less than a fifth of all CPUs; in pump mode preprocessing on the other side, and compression.
type distcc struct{ pump bool }

func (distcc) up(ctx context.Context, g *ground) error {
	for _, h := range g.hosts.All {
		if err := os.MkdirAll(g.distccDir(h), 0o755); err != nil {
			return err
		}
		err := g.daemon(h, call{argv: []string{"distccd", "--daemon", "--no-detach", "--listen", h.Addr, "--allow", "10.77.0.0/24", "--jobs", fmt.Sprint(perHost),
			"--log-stderr", "--log-level", "error"}})
		if err != nil {
			return err
		}
	}
	for _, h := range g.hosts.All {
		if err := g.listens(ctx, h, "3632"); err != nil {
			return err
		}
	}
	return nil
}

func (d distcc) call(g *ground, home *hosts.Host, p project) call {
	var list []string
	if g.n < 5 {
		list = append(list, fmt.Sprintf("localhost/%d", perHost))
	}
	for _, h := range g.hosts.All {
		if h != home {
			host := fmt.Sprintf("%s/%d", h.Addr, perHost)
			if d.pump {
				host += ",cpp,lzo"
			}
			list = append(list, host)
		}
	}
	argv := []string{"make", fmt.Sprintf("-j%d", max(2, perHost*g.n/g.homes)), "CC=distcc " + p.cc}
	if d.pump {
		argv = append([]string{"distcc-pump"}, argv...)
	}
	return call{argv: append(argv, p.args...), env: []string{"DISTCC_HOSTS=" + strings.Join(list, " "), "DISTCC_DIR=" + g.distccDir(home)}}
}

// distccDir is where the clients of a home keep their locks.
func (g *ground) distccDir(home *hosts.Host) string { return filepath.Join(g.dir, "distcc."+home.Name) }

// listens waits until something does at a port of a host.
func (g *ground) listens(ctx context.Context, h *hosts.Host, port string) error {
	err := hosts.Poll(ctx, func() bool {
		conn, err := h.Dial("tcp", h.Addr+":"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("wait for port %s of %s: %w", port, h.Name, err)
	}
	return nil
}
