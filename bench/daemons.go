package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"mexec/test/hosts"
)

// memory is what a process holds, in KiB.
type memory struct{ resident, private int }

// waitingStub measures a stub whose command runs on node2.
func waitingStub(ctx context.Context, hs *hosts.Hosts) (memory, error) {
	cmd := hs.All[0].CommandContext(ctx, "mexec", "-n", hs.All[1].Name, "sh", "-c", "echo runs; exec sleep 600")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return memory{}, err
	}
	if err := cmd.Start(); err != nil {
		return memory{}, err
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "runs\n" {
		return memory{}, fmt.Errorf("start a command on node2: %q, %w", line, err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", cmd.Process.Pid))
	if err != nil {
		return memory{}, err
	}
	return memory{kib(b, "Rss:"), kib(b, "Private_Clean:") + kib(b, "Private_Dirty:")}, nil
}

// daemon is what one mexecd holds at a moment. A forgotten goroutine shows as memory, a forgotten pipe as a descriptor.
type daemon struct {
	host        string
	after       int // commands
	resident    int // KiB
	descriptors int
	threads     int
}

func look(h *hosts.Host, after int) (daemon, error) {
	proc := fmt.Sprintf("/proc/%d/", h.Daemon())
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return daemon{}, err
	}
	fds, err := os.ReadDir(proc + "fd")
	return daemon{h.Name, after, kib(status, "VmRSS:"), len(fds), kib(status, "Threads:")}, err
}

// soak runs many commands and looks at both daemons on the way. The first tenth is warm-up: pools fill.
func (f *field) soak(ctx context.Context, hs *hosts.Hosts, argv []string) ([]daemon, error) {
	const slices = 10
	var seen []daemon
	for i := range slices {
		n := f.options.soak / slices
		if _, err := f.run(ctx, n, inflight, argv); err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "bench: soak, %d of %d\n", (i+1)*n, slices*n)
		if i != 0 && i != slices/2-1 && i != slices-1 {
			continue
		}
		for _, h := range hs.All {
			d, err := look(h, (i+1)*n)
			if err != nil {
				return nil, err
			}
			seen = append(seen, d)
		}
	}
	return seen, nil
}

// kib reads one number of a proc(5) table.
func kib(text []byte, name string) int {
	_, after, _ := strings.Cut(string(text), "\n"+name)
	line, _, _ := strings.Cut(after, "\n")
	n, _ := strconv.Atoi(strings.Fields(line + " 0")[0])
	return n
}
