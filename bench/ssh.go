package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"mexec/test/hosts"
)

const sshPort = "2222"

// startSSH gives host 2 an sshd of its own and host 1 a connection to it that stays open, and returns the command that
// runs /bin/true through it. Both end with the hosts.
func startSSH(ctx context.Context, dir string, hs *hosts.Hosts) ([]string, error) {
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		return nil, errors.New("no sshd: apt-get install openssh-server")
	}
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		return nil, err
	}
	one, two := hs.All[0], hs.All[1]
	for _, key := range []string{"host", "user"} {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	// Another HOME keeps the user's .bashrc out of it: bash reads that for each command over ssh, and it may cost ten times
	// what ssh does.
	server := fmt.Sprintf(`ListenAddress %s:%s
HostKey %s/host
AuthorizedKeysFile %s/user.pub
StrictModes no
PermitRootLogin yes
PidFile none
MaxSessions 1000
SetEnv HOME=%s
`, two.Addr, sshPort, dir, dir, dir)
	client := fmt.Sprintf(`Host node2
  HostName %s
  Port %s
  IdentityFile %s/user
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  ControlMaster auto
  ControlPath %s/master
  ControlPersist yes
`, two.Addr, sshPort, dir, dir)
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "sshd_config"), []byte(server), 0o600),
		os.WriteFile(filepath.Join(dir, "ssh_config"), []byte(client), 0o600))
	if err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // sshd insists, and its package makes it only at boot
			return nil, err
		}
	}
	if out, err := two.CommandContext(ctx, sshd, "-f", filepath.Join(dir, "sshd_config"), "-E", filepath.Join(dir, "sshd.log")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("start sshd: %w: %s", err, out)
	}
	argv := []string{ssh, "-F", filepath.Join(dir, "ssh_config"), "node2", "/bin/true"}
	// The master goes on in the background and must not hold our pipes.
	if err := hosts.Poll(ctx, func() bool { return one.CommandContext(ctx, argv[0], argv[1:]...).Run() == nil }); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "sshd.log"))
		return nil, fmt.Errorf("ssh to node2: %w: %s", err, log)
	}
	return argv, nil
}
