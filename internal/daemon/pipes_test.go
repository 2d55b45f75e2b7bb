package daemon

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"mexec/internal/place"
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
	j := &piped{ends: [2]map[pipe]bool{{}, {}}}
	if in != 0 {
		j.ends[reads][pipe{1, in}] = true
	}
	if out != 0 {
		j.ends[writes][pipe{1, out}] = true
	}
	return j
}

func TestWhoWritesIntoOnePipeIsNotJoinedByIt(t *testing.T) {
	p := newPipes()
	first, second, reader, last := stage(0, 7), stage(0, 7), stage(7, 8), stage(8, 0)
	for _, c := range []struct {
		job   *piped
		grant place.Grant
		want  int // grants that may be lent
	}{{first, 1, 0}, {second, 0, 0}, {reader, 2, 1}, {last, 0, 3 - 1}} {
		if got := p.enter(c.job, c.grant); len(got) != c.want {
			t.Errorf("%v, %d: %v", c.job.ends, c.grant, got)
		}
	}
	for _, j := range []*piped{first, second, reader, last, nil} {
		p.leave(j)
	}
	if len(p.jobs) != 0 {
		t.Errorf("%v are left", p.jobs)
	}
}
