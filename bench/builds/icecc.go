package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mexec/test/hosts"
)

// icecc is make with icecc in front of the compiler, a scheduler on a host that is not the home, where there is one, and the compiler's environment packed and sent beforehand.
type icecc struct{}

const iceccPort = "8765"

func (icecc) socket(g *ground, h *hosts.Host) string {
	return "ICECC_TEST_SOCKET=" + filepath.Join(g.dir, "icecc", h.Name+".sock")
}

func (i icecc) up(ctx context.Context, g *ground) error {
	first := g.hosts.All[min(1, g.n-1)]
	if err := g.daemon(first, call{argv: []string{"icecc-scheduler", "-n", "bench", "-p", iceccPort}}); err != nil {
		return err
	}
	if err := g.listens(ctx, first, iceccPort); err != nil {
		return err
	}
	for _, h := range g.hosts.All {
		dir := filepath.Join(g.dir, "icecc", h.Name)
		if err := theirs(dir); err != nil {
			return err
		}
		err := g.daemon(h, call{argv: []string{"iceccd", "-n", "bench", "-s", first.Addr, "-m", fmt.Sprint(perHost), "-N", h.Name, "-b", dir}, env: []string{i.socket(g, h)}})
		if err != nil {
			return err
		}
	}
	for _, h := range g.hosts.All {
		if err := g.listens(ctx, h, "10245"); err != nil {
			return err
		}
	}
	return i.warm(ctx, g)
}

// theirs makes a directory that the daemon owns, which is another user once it runs.
func theirs(dir string) error {
	u, err := user.Lookup("icecc")
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return errors.Join(os.MkdirAll(dir, 0o755), os.Chown(filepath.Dir(dir), uid, gid), os.Chown(dir, uid, gid))
}

// warm compiles a file on each host, which brings the environment there.
func (i icecc) warm(ctx context.Context, g *ground) error {
	source := filepath.Join(g.dir, "warm.c")
	if err := os.WriteFile(source, []byte("int main(void) { return 0; }\n"), 0o644); err != nil {
		return err
	}
	for _, home := range g.hosts.All[:g.homes] {
		for _, h := range g.hosts.All {
			argv := append(append([]string{"icecc"}, strings.Fields(g.project.cc)...), "-c", "-o", filepath.Join(g.dir, "warm.o"), source)
			c := call{argv: argv, env: []string{i.socket(g, home), "ICECC_PREFERRED_HOST=" + h.Name}}
			// Now and then a client of icecc waits for an answer that never comes; the next one does not.
			if err := g.soon(ctx, home, c); err != nil {
				if err := g.soon(ctx, home, c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (i icecc) call(g *ground, home *hosts.Host, p project) call {
	return call{argv: append([]string{"make", fmt.Sprintf("-j%d", max(2, perHost*g.n/g.homes)), "CC=icecc " + p.cc}, p.args...), env: []string{i.socket(g, home)}}
}

func (g *ground) soon(ctx context.Context, home *hosts.Host, c call) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return g.once(ctx, home, g.dir, c)
}
