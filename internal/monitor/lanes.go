package monitor

import (
	"cmp"
	"slices"
	"time"

	"mexec"
)

// span is a command that ran, where a picture of the build has it.
type span struct {
	*Command
	asked, from, to time.Duration // since the begin of the build
	node            int           // of picture.nodes
	lane            int           // of its node: at any time each lane has one command
}

// picture is a build that is over, as Report and Trace draw it: all commands that ran, by their start.
type picture struct {
	nodes []*Node
	lanes []int // of each node
	spans []span
}

// picture lays the commands out. The daemon does not number its slots; but as many lanes are enough as commands ran at once.
func (m *Model) picture(end time.Time) picture {
	p := picture{nodes: m.Nodes()}
	index := map[mexec.NodeID]int{}
	for i, n := range p.nodes {
		index[n.Name] = i
	}
	for _, c := range m.Commands {
		if c.Start.IsZero() || c.Drives || c.moot {
			continue
		}
		node, ok := index[c.Node]
		if !ok { // kept before anybody said what this node is
			if m.home == "" {
				continue
			}
			node = index[m.home]
		}
		to := c.End
		if to.IsZero() || to.After(end) {
			to = end
		}
		from := max(0, c.Start.Sub(m.Began))
		p.spans = append(p.spans, span{Command: c, asked: min(from, max(0, c.Asked.Sub(m.Began))), from: from, to: max(from, to.Sub(m.Began)), node: node})
	}
	slices.SortStableFunc(p.spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	free := make([][]time.Duration, len(p.nodes)) // when each lane is free again
	for i := range p.spans {
		s := &p.spans[i]
		lanes := free[s.node]
		s.lane = slices.IndexFunc(lanes, func(at time.Duration) bool { return at <= s.from })
		if s.lane < 0 {
			s.lane = len(lanes)
			lanes = append(lanes, 0)
		}
		lanes[s.lane] = s.to
		free[s.node] = lanes
	}
	for _, lanes := range free {
		p.lanes = append(p.lanes, len(lanes))
	}
	return p
}

// chain is what the end of the build waited for: the command that ended last; of those that had ended when it was asked for, the one that ended last; and
// so on, as indices of spans from the first to the last.
//
// Who had to wait for whom only the tool knows. But nothing of the build's end could have come earlier than this chain allows, unless the tool
// could have asked for one of its commands before: then it waited for a job to be free, or for something here.
func (p picture) chain() []int {
	if len(p.spans) == 0 {
		return nil
	}
	byEnd := make([]int, len(p.spans))
	for i := range byEnd {
		byEnd[i] = i
	}
	slices.SortStableFunc(byEnd, func(a, b int) int { return cmp.Compare(p.spans[a].to, p.spans[b].to) })
	at := byEnd[len(byEnd)-1]
	chain := []int{at}
	for {
		asked := p.spans[at].asked
		n, _ := slices.BinarySearchFunc(byEnd, asked, func(i int, t time.Duration) int {
			if p.spans[i].to > t {
				return 1
			}
			return -1
		})
		for n > 0 && p.spans[byEnd[n-1]].asked >= asked { // a command of no length must not follow itself
			n--
		}
		if n == 0 {
			break
		}
		at = byEnd[n-1]
		chain = append(chain, at)
	}
	slices.Reverse(chain)
	return chain
}
