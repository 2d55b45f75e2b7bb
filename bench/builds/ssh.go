package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"mexec/test/hosts"
)

// ssh is make with a SHELL that sends each recipe to the least busy host: a script, or the same in C, which costs the home a fraction.
type ssh struct{ compiled bool }

// perHost is how many recipes or compilations at once a host is given by those that don't find out for themselves: one computes, another is on its way.
const perHost = 2

func (ssh) up(ctx context.Context, g *ground) error {
	if err := sshKeys(ctx, g.dir); err != nil {
		return err
	}
	for _, h := range g.hosts.All {
		// Another HOME keeps the user's .bashrc out of it: bash reads that for each command over ssh.
		config := fmt.Sprintf("ListenAddress %s:%s\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nStrictModes no\nPermitRootLogin yes\nPidFile none\n"+
			"MaxSessions 1000\nMaxStartups 100\nSetEnv HOME=%s\nUseDNS no\nUsePAM no\nPrintMotd no\nPrintLastLog no\n", h.Addr, sshPort, g.dir, g.dir, g.dir)
		file := filepath.Join(g.dir, "sshd_config."+h.Name)
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return err
		}
		if err := g.daemon(h, call{argv: []string{"/usr/sbin/sshd", "-D", "-f", file}}); err != nil {
			return err
		}
	}
	for _, home := range g.hosts.All[:g.homes] {
		if err := g.sshMasters(ctx, home); err != nil {
			return err
		}
	}
	return nil
}

const sshPort = "2222"

func sshKeys(ctx context.Context, dir string) error {
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // sshd insists, and its package makes it only at boot
		return err
	}
	for _, key := range []string{"host", "user"} {
		file := filepath.Join(dir, key)
		if _, err := os.Stat(file); err == nil {
			continue
		}
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file).CombinedOutput(); err != nil {
			return fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	return nil
}

func (g *ground) sshConfig(home *hosts.Host) string {
	return filepath.Join(g.dir, "ssh_config."+home.Name)
}

// sshMasters opens the connections of one home, so that no recipe pays for it.
func (g *ground) sshMasters(ctx context.Context, home *hosts.Host) error {
	var b strings.Builder
	for _, h := range g.hosts.All {
		fmt.Fprintf(&b, "Host %s\n  HostName %s\n", h.Name, h.Addr)
	}
	fmt.Fprintf(&b, "Host *\n  Port %s\n  IdentityFile %s/user\n  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"+
		"  ControlMaster auto\n  ControlPath %s/%s.%%n\n", sshPort, g.dir, g.dir, home.Name)
	config := g.sshConfig(home)
	if err := os.WriteFile(config, []byte(b.String()), 0o600); err != nil {
		return err
	}
	var errs []error
	for _, h := range g.hosts.All {
		if h == home {
			continue
		}
		errs = append(errs, hosts.Poll(ctx, func() bool { // sshd may need a moment
			conn, err := home.Dial("tcp", h.Addr+":"+sshPort)
			if err == nil {
				conn.Close()
			}
			return err == nil
		}), g.daemon(home, call{argv: []string{"ssh", "-M", "-N", "-F", config, h.Name}}))
	}
	for _, h := range g.hosts.All {
		if h != home {
			check := call{argv: []string{"ssh", "-O", "check", "-F", config, h.Name}}
			errs = append(errs, hosts.Poll(ctx, func() bool { return g.once(ctx, home, "/", check) == nil }))
		}
	}
	return errors.Join(errs...)
}

func (s ssh) call(g *ground, home *hosts.Host, p project) call {
	names := []string{home.Name}
	for _, h := range g.hosts.All {
		if h != home {
			names = append(names, h.Name)
		}
	}
	shell := "sshshell.sh"
	if s.compiled {
		shell = "sshshell"
	}
	return call{
		argv: append([]string{"make", fmt.Sprintf("-j%d", max(2, perHost*g.n/g.homes)), "SHELL=" + filepath.Join(g.dir, shell)}, p.args...),
		env: []string{"SSHSHELL_HOSTS=" + strings.Join(names, " "), fmt.Sprintf("SSHSHELL_SLOTS=%d", perHost), "SSHSHELL_DIR=" + g.dir,
			"SSHSHELL_CONFIG=" + g.sshConfig(home)},
	}
}
