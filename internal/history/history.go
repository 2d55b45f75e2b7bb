// Package history learns from what commands took: which kinds of them are short, that is done before they are sent (Learner), and what the next
// one will cost (Costs).
//
// # Short kinds
//
// A kind is a number for commands that are likely to take as long as each other (libmexec/kind.h). It is short when each of the last few took less than the limit. One that took very
// much longer makes an end of that, and then many in a row must be short until it is believed again; what took a little longer, as on a busy machine, does
// so only where it becomes the rule.
//
//	         few in a row below the limit
//	unknown ─────────────────────────────▶ short
//	   ▲                                   │  │ one far above the limit
//	   └───────────────────────────────────┘  ▼
//	     too often above it              doubted: as unknown, but many in a row
//
// Promises: it remembers so many kinds, and forgets those that it has not heard of for longest. What changes is told at once, and never twice.
//
// # Costs
//
// A cost is looked up twice: by the very command, then by its kind. The command is its user, its kind, the last name of its directory and all its
// arguments (Key): the same file compiled again costs the same, which no kind can say that holds files of ten lines and of ten thousand. The kind tells what is
// known of a command that was never seen: of the first build of a tree, and of a new file. A recipe's target was not taken for a key of its own: make tells it to nobody,
// and the recipe, whose text is the command's arguments, names it in nearly every case. Nor was the environment, which changes without a change in cost.
//
// Times and output are means of the last few runs. Memory is a promise: the peak of the whole tree, of which the highest counts and sinks slowly, and a
// margin. One that the kernel killed for want of memory would have taken more, so that more is held for it the next time. A command that failed says only what it takes at least.
//
// Nodes are compared by the commands that ran on several (speed.go): times are kept as this node would take them.
//
// Promises: the number of kinds, of commands and of nodes is bounded, and those are forgotten that were not heard of for longest; a look-up
// allocates nothing and takes less than a microsecond.
//
// Pure: times are arguments. A Learner, and a Costs, belongs to one goroutine at a time.
package history

import (
	"container/list"
	"time"
)

// Kind is a kind of command.
type Kind uint64

const (
	// Limit is less than a command costs more on another node than here, with what it takes a slot to come home.
	Limit = 3 * time.Millisecond

	few    = 4    // in a row below the limit
	many   = 32   // the same, after one that was far above it
	far    = 10   // times the limit
	often  = 4    // more above the limit than below it
	kinds  = 2048 // are remembered
	trusty = 64   // a row that is longer says no more
)

// Learner has what is known of each kind.
type Learner struct {
	limit time.Duration
	tell  func(Kind, bool)
	known map[Kind]*list.Element
	order *list.List // of *past, heard of last first
}

// past is what is known of one kind.
type past struct {
	kind  Kind
	short bool
	row   int // how many in a row were below the limit
	need  int // how many must be
	above int // of a short one: how many more were above the limit than below it
}

// New begins with nothing. tell hears of each kind that becomes short or is so no longer.
func New(limit time.Duration, tell func(kind Kind, short bool)) *Learner {
	return &Learner{limit: limit, tell: tell, known: map[Kind]*list.Element{}, order: list.New()}
}

// Short says whether a kind is short.
func (l *Learner) Short(k Kind) bool {
	e, ok := l.known[k]
	return ok && e.Value.(*past).short
}

// Far says that so long a run makes an end of a kind's being short. Nobody needs to wait for its end.
func (l *Learner) Far(took time.Duration) bool { return took > far*l.limit }

// Ran is told how long a command took.
func (l *Learner) Ran(k Kind, took time.Duration) {
	p := l.past(k)
	was := p.short
	switch {
	case took < l.limit:
		p.row = min(p.row+1, trusty)
		p.above = max(p.above-1, 0)
		if !p.short && p.row >= p.need {
			p.short, p.above = true, 0
		}
	case l.Far(took):
		if p.short {
			p.need = many
		}
		p.row, p.short = 0, false
	default:
		p.row = 0
		if p.above = min(p.above+1, often); p.above == often {
			p.short = false
		}
	}
	if p.short {
		p.need = few
	}
	if p.short != was {
		l.tell(k, p.short)
	}
}

// past finds what is known of a kind, or makes room for it.
func (l *Learner) past(k Kind) *past {
	if e, ok := l.known[k]; ok {
		l.order.MoveToFront(e)
		return e.Value.(*past)
	}
	if l.order.Len() >= kinds {
		last := l.order.Remove(l.order.Back()).(*past)
		delete(l.known, last.kind)
		if last.short {
			l.tell(last.kind, false)
		}
	}
	p := &past{kind: k, need: few}
	l.known[k] = l.order.PushFront(p)
	return p
}
