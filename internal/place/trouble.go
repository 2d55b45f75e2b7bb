package place

import (
	"time"

	"mexec"
)

// What people are told of nodes that rest (rest.go), or have lately refused commands. It names nobody's directories and programs: whose command it was learns them by asking
// why, and who lists the nodes may be anybody.

// trouble is a node's last refusal that may be one of many.
type trouble struct {
	why   string
	until time.Time // when it is forgotten
}

func refusal(reach Refusal, why string, until time.Time) trouble {
	switch reach {
	case RefusedDir:
		why = "a directory is not there, or not the same"
	case RefusedProgram:
		why = "a program is not there, or not the same"
	}
	return trouble{"has refused commands: " + why, until}
}

// Trouble lists the nodes that rest or have lately refused commands, each with a line that says why.
func (h *Home) Trouble(now time.Time) map[mexec.NodeID]string {
	var all map[mexec.NodeID]string
	for _, n := range h.all[1:] {
		why := ""
		switch {
		case n.ill != "":
			why = n.words(now)
		case now.Before(n.trouble.until):
			why = n.trouble.why
		default:
			continue
		}
		if all == nil {
			all = map[mexec.NodeID]string{}
		}
		all[n.Name] = why
	}
	return all
}
