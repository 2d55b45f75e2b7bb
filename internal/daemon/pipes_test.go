package daemon

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// One slot, and stages that each need the others: the last to get one may be any of them.
func TestAPipelineMayHaveMoreStagesThanThereAreSlots(t *testing.T) {
	m := openOne(t, nil, func(c *Config) { c.Slots = 1 })
	const line = `yes | "$0" head -c 300000 | "$0" cat | "$0" cat | "$0" cat | "$0" wc -c`
	for range 5 {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", line, built(t, "mexec"))
		cmd.Env = append(os.Environ(), "MEXEC_SOCKET="+m.cfg.Socket)
		late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		cmd.WaitDelay = time.Second
		out, err := cmd.Output()
		if !late.Stop() || err != nil || string(out) != "300000\n" {
			t.Fatalf("%q, %v", out, err)
		}
	}
	m.until("its slot is free again", func() bool { return m.nodes()[0].Busy == 0 })
}

func stage(in, out uint64) *piped {
	j := new(piped)
	if in != 0 {
		j.fds[0] = pipe{1, in}
	}
	if out != 0 {
		j.fds[1] = pipe{1, out}
		j.fds[2] = j.fds[1]
	}
	return j
}

func TestWhoWritesIntoOnePipeIsNotJoinedByIt(t *testing.T) {
	p := newPipes()
	first, second, reader, last := stage(0, 7), stage(0, 7), stage(7, 8), stage(8, 0)
	runs := func() bool { return true }
	for _, c := range []struct {
		job  *piped
		lend func() bool
		want int // that may lend
	}{{first, runs, 0}, {second, nil, 0}, {reader, runs, 1}, {last, nil, 2}} {
		if got := p.join(c.job, c.lend); len(got) != c.want {
			t.Errorf("%v: %d", c.job.fds, len(got))
		}
	}
	for _, j := range []*piped{first, second, reader, last, nil} {
		p.leave(j)
	}
	if len(p.jobs) != 0 {
		t.Errorf("%v are left", p.jobs)
	}
}

// With one slot on each of two nodes, and stages that may run on the other one only, none of home's is to be had.
func TestStagesOnAnotherNodeLendTheirSlotsToo(t *testing.T) {
	first, second := two(t, func(c *Config) { c.Slots = 1 })
	const line = `yes | "$0" -n2 head -c 300000 | "$0" -n2 cat | "$0" -n2 cat | "$0" -n2 wc -c`
	for range 3 {
		if out, errs, code := first.mexec("-n1", "sh", "-c", line, built(t, "mexec")); code != 0 || out != "300000\n" {
			t.Fatalf("%q, %q, %d", out, errs, code)
		}
	}
	second.until("its slot is free again", func() bool { return second.nodes()[1].Busy == 0 })
}
