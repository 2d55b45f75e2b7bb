package monitor

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"mexec"
)

// Node is one node, and what of the build ran there.
type Node struct {
	Name    mexec.NodeID
	Home    bool
	Up      bool // may get commands
	Slots   int
	Running int
	Started int           // that were not refused
	CPU     time.Duration // of those that ended
}

// Room is how many commands the cluster had slots for from a moment on.
type Room struct {
	At time.Time
	N  int
}

// cluster takes a view of the nodes, or how many commands they have slots for.
func (m *Model) cluster(e *mexec.Event) {
	if e.Nodes != nil {
		m.views[e.Source] = e.Nodes
		m.survey()
	}
	m.rooms[e.Source] = e.Room
	m.room(e.At)
}

// survey makes one view of all. A build may have two, that of this node's daemon and that of its own, which knows itself alone: only the larger is
// about a cluster.
func (m *Model) survey() {
	for _, n := range m.nodes {
		n.Up, n.Slots = false, 0
	}
	views := slices.SortedFunc(maps.Values(m.views), func(a, b []mexec.Node) int { return len(b) - len(a) })
	late := m.order // those that nobody speaks of any more come last
	m.order = nil
	for i, view := range views {
		for _, v := range slices.SortedFunc(slices.Values(view), func(a, b mexec.Node) int { return cmp.Compare(a.Number, b.Number) }) {
			n := m.nodes[v.Name]
			if n == nil {
				n = &Node{Name: v.Name}
				m.nodes[v.Name] = n
			}
			if !slices.Contains(m.order, v.Name) {
				m.order = append(m.order, v.Name)
			}
			n.Home = n.Home || v.State == mexec.Self
			n.Slots = max(n.Slots, v.Slots)
			if i == 0 {
				n.Up = v.State == mexec.Up || v.State == mexec.Self
				if v.State == mexec.Self {
					m.home = v.Name
				}
			}
		}
	}
	for _, name := range late {
		if !slices.Contains(m.order, name) {
			m.order = append(m.order, name)
		}
	}
}

// room is how many commands the build has slots for at the daemon that has the most.
func (m *Model) room(now time.Time) {
	m.Room = 0
	for _, n := range m.rooms {
		m.Room = max(m.Room, n)
	}
	if m.keep && (len(m.Rooms) == 0 || m.Rooms[len(m.Rooms)-1].N != m.Room) {
		m.Rooms = append(m.Rooms, Room{now, m.Room})
	}
}

func (m *Model) node(name mexec.NodeID) *Node {
	n := m.nodes[name]
	if n == nil {
		n = &Node{Name: name}
		m.nodes[name] = n
		m.order = append(m.order, name)
	}
	return n
}

// Nodes are those that are in the cluster or were, by their numbers.
func (m *Model) Nodes() []*Node {
	var all []*Node
	for _, name := range m.order {
		all = append(all, m.nodes[name])
	}
	return all
}
