package main

import (
	"context"
	"fmt"
	"syscall"

	"mexec/test/hosts"
)

// mexec is mpmake with a mexecd on each host.
type mexec struct{}

func (*mexec) up(ctx context.Context, g *ground) error {
	for _, h := range g.hosts.All {
		if h.Daemon() == 0 {
			if err := h.StartDaemon(); err != nil {
				return err
			}
		}
	}
	return g.hosts.WaitUp(ctx, g.n)
}

func (*mexec) call(g *ground, _ *hosts.Host, p project) call {
	c := call{argv: []string{"mpmake"}}
	if g.jobs > 0 {
		c.argv = append(c.argv, fmt.Sprintf("-j%d", g.jobs))
	}
	c.argv = append(c.argv, p.args...)
	return c
}

// stopMexec ends the daemons while others build.
func (g *ground) stopMexec() error {
	for _, h := range g.hosts.All {
		if h.Daemon() != 0 {
			if err := h.KillDaemon(syscall.SIGTERM); err != nil {
				return err
			}
		}
	}
	return nil
}
