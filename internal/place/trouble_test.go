package place

import (
	"testing"
	"time"

	"mexec"
)

func TestWhoHasRefusedIsSaidForAsLongAsItIsRemembered(t *testing.T) {
	h := three()
	for i, c := range []struct {
		reach Refusal
		why   string
		want  string
	}{
		{RefusedDir, "chdir /home/alice: no such file", "has refused commands: a directory is not there, or not the same"},
		{RefusedProgram, "/home/alice/bin/x: other size", "has refused commands: a program is not there, or not the same"},
		{RefusedUser, "this daemon runs jobs of uid 7 only", "has refused commands: this daemon runs jobs of uid 7 only"},
		{RefusedAll, "draining", "has refused commands: draining"},
		{RefusedGrant, "void", ""},
		{RefusedJob, "an open file", ""},
	} {
		now := t0.Add(2 * forget * time.Duration(i))
		id := mexec.JobID(i + 1)
		h.Submit(Job{ID: id, Nodes: nodes(t, "2"), UID: uint32(i)}, now)
		h.Granted("n2", Offer{Grants: []Grant{Grant(i + 1)}, Lease: Lease}, now)
		h.Refused(id, c.reach, c.why, now)
		got := h.Trouble(now)
		if got["n2"] != c.want || len(got) > 1 || len(h.Trouble(now.Add(forget))) != 0 {
			t.Errorf("%v: %v", c, got)
		}
		h.Withdraw(id)
		h.Tick(now.Add(forget))
	}
}
