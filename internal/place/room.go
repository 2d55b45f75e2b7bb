package place

import (
	"time"

	"mexec"
)

// Room is how many commands of a user with this wish the cluster has slots for now, those that run included; at least one. It is what a build tool
// goes by that is to run as much as has a place, and no more.
//
// Of each node that may get jobs counts what this home holds there, be it a job or an idle grant, and what is believed to be free. busy is how
// many slots of this node are held by anybody: known, where of others only their news is. What another build of this home holds counts as well: their jobs wait in one queue,
// and who comes first may have the next grant. Of a node that has lately refused jobs of this user counts only what it holds: what it refuses, a directory
// that it does not mount say, it may refuse to all of this build.
func (h *Home) Room(wish Nodes, uid uint32, busy int, now time.Time) int {
	room, none := 0, true
	for _, n := range h.all {
		mine := n == h.me
		if !wish.Match(&n.Node) || !mine && (n.State != mexec.Up || now.Before(n.until)) {
			continue
		}
		none = false
		switch {
		case mine:
			room += n.held() + max(0, n.Slots-busy)
		case n.refusesTo(uid, now):
			room += n.held()
		default:
			room += n.held() + n.free()
		}
	}
	if none { // then all stays here
		room = h.me.held() + max(0, h.me.Slots-busy)
	}
	return max(1, room)
}

func (n *node) refusesTo(uid uint32, now time.Time) bool {
	for k, until := range n.refuses {
		if k.uid == uid && now.Before(until) {
			return true
		}
	}
	return false
}
