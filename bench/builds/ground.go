package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"mexec/bench/builds/bound"
	"mexec/test/hosts"
)

// ground is what all contestants of a scenario stand on: the hosts, and one host with all their CPUs.
type ground struct {
	options
	n     int
	hosts *hosts.Hosts
	whole *hosts.Hosts
	speed []float64 // of each host, in CPUs
	dir   string    // of keys, logs, sockets and programs

	processes []*process
}

func newGround(ctx context.Context, o options, n int) (g *ground, err error) {
	g = &ground{options: o, n: n}
	if g.dir, err = os.MkdirTemp("", "mexec-builds."); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	if err := os.Chmod(g.dir, 0o755); err != nil { // icecc's daemon is another user
		return nil, err
	}
	for _, program := range []string{"sshshell", "record"} {
		source := filepath.Join("bench/builds", program, program+".c")
		if out, err := exec.CommandContext(ctx, "cc", "-O2", "-o", filepath.Join(g.dir, program), source).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("compile %s: %w: %s", source, err, out)
		}
	}
	script, err := os.ReadFile("bench/builds/sshshell/sshshell.sh")
	if err == nil {
		err = os.WriteFile(filepath.Join(g.dir, "sshshell.sh"), script, 0o755)
	}
	if err != nil {
		return nil, err
	}
	sum := 0.0
	for i := range n {
		speed := o.cpu
		if o.quarter && i == n-1 {
			speed /= 4
		}
		g.speed = append(g.speed, speed)
		sum += speed
	}
	if g.hosts, err = hosts.Start(ctx, hosts.Config{N: n, Slots: o.slots, CPU: o.cpu, Bin: o.bin}); err != nil {
		return nil, err
	}
	if !g.hosts.Isolated() {
		return nil, errors.New("hosts with a CPU quota need root")
	}
	if o.quarter {
		if err := g.hosts.All[n-1].LimitCPU(g.speed[n-1]); err != nil {
			return nil, err
		}
	}
	if err := g.stopMexec(); err != nil {
		return nil, err
	}
	if g.whole, err = hosts.Start(ctx, hosts.Config{N: 1, CPU: sum, Bare: true}); err != nil {
		return nil, err
	}
	return g, errors.Join(g.hosts.WeighCPU(o.weight), g.whole.WeighCPU(o.weight))
}

func (g *ground) close() error {
	err := g.down()
	for _, hs := range []*hosts.Hosts{g.hosts, g.whole} {
		if hs != nil {
			err = errors.Join(err, hs.Close())
		}
	}
	return errors.Join(err, os.RemoveAll(g.dir))
}

// stage is where a system's build runs: the hosts that it may use, and those where somebody types it.
func (g *ground) stage(s system) (all, homes []*hosts.Host) {
	if _, ok := s.(smp); !ok {
		return g.hosts.All, g.hosts.All[:g.homes]
	}
	for range g.homes {
		homes = append(homes, g.whole.All[0])
	}
	return g.whole.All, homes
}

// machines are the hosts as the bound sees them: one task at a time on each.
func (g *ground) machines() (ms []bound.Host) {
	for _, s := range g.speed {
		ms = append(ms, bound.Host{Speed: s, Slots: 1})
	}
	return ms
}

// scenario names what is compared with what.
func (g *ground) scenario() string {
	s := fmt.Sprintf("%s, %d hosts", g.project.name, g.n)
	if g.n == 1 {
		s = g.project.name + ", 1 host"
	}
	if g.quarter {
		s += ", the last at a quarter of the speed"
	}
	if g.homes > 1 {
		s += fmt.Sprintf(", %d of them build at once", g.homes)
	}
	return s
}
