package monitor

import (
	"time"

	"mexec"
)

// A daemon that goes away takes its knowledge along, and one that is restarted numbers its jobs from the begin again.

// gap is told that a daemon is heard no longer. What it had is in doubt until it is heard again, or for ever; it counts nowhere meanwhile.
func (m *Model) gap(e *mexec.Event) {
	m.resolve(e.Source, e.At) // what was in doubt before
	for id, c := range m.active {
		if id.source == e.Source {
			m.leave(c)
			delete(m.active, id)
			m.doubt[id] = c
		}
	}
	delete(m.rooms, e.Source)
	m.room(e.At)
}

// resolve settles what is in doubt and will stay so. What waited has gone to another daemon; what ran here is over, and nobody has said how; of what
// ran elsewhere nobody will know.
func (m *Model) resolve(source string, now time.Time) {
	for id, c := range m.doubt {
		if id.source != source {
			continue
		}
		delete(m.doubt, id)
		c.End = now
		m.joins.await(c)
		switch {
		case c.Outcome == Waiting:
			c.Outcome = Withdrawn
			m.WithdrawnN++
		case m.node(c.Node).Home:
			c.Outcome = Done
			m.Ended++
			m.local(c, 1)
			m.measured(c)
		default:
			c.Outcome = Lost
			m.lose(c, "its home was not heard any more")
		}
	}
}

// Close settles what is still open when the build is over.
func (m *Model) Close(now time.Time) {
	for id := range m.doubt {
		m.resolve(id.source, now)
	}
}

func (m *Model) lose(c *Command, why string) {
	m.LostN++
	if len(m.Losses) < manyLosses {
		m.Losses = append(m.Losses, c.Text+" ("+string(c.Node)+": "+why+")")
	}
}
