package history

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// The text is a line that says what it is and by which limit, and then one for each kind, heard of last first: its number, whether it is short, and
// what a past has besides.
const heading = "mexec kinds 1, limit %d ns\n"

// Text is what a learner knows, for Learn.
func (l *Learner) Text() []byte {
	b := fmt.Appendf(nil, heading, int64(l.limit))
	for e := l.order.Front(); e != nil; e = e.Next() {
		p := e.Value.(*past)
		sign := '-'
		if p.short {
			sign = '+'
		}
		b = fmt.Appendf(b, "%016x %c %d %d %d\n", uint64(p.kind), sign, p.row, p.need, p.above)
	}
	return b
}

// Learn takes over what another learner knew, if it had the same limit, and is for one that knows nothing yet. What is no such text teaches nothing, from where it is none.
func (l *Learner) Learn(text []byte) {
	first, text, _ := bytes.Cut(text, []byte{'\n'})
	if string(first)+"\n" != fmt.Sprintf(heading, int64(l.limit)) {
		return
	}
	var all []past
	for len(text) > 0 && len(all) < kinds {
		line, rest, whole := bytes.Cut(text, []byte{'\n'})
		p, ok := parse(strings.Fields(string(line)))
		if !whole || !ok {
			break
		}
		all = append(all, p)
		text = rest
	}
	for i := len(all) - 1; i >= 0; i-- {
		p := l.past(all[i].kind)
		if p.short {
			continue // a number that is there twice
		}
		*p = all[i]
		if p.short {
			l.tell(p.kind, true)
		}
	}
}

func parse(words []string) (p past, ok bool) {
	if len(words) != 5 {
		return p, false
	}
	kind, err := strconv.ParseUint(words[0], 16, 64)
	p = past{kind: Kind(kind), short: words[1] == "+"}
	for i, to := range []*int{&p.row, &p.need, &p.above} {
		n, e := strconv.ParseUint(words[2+i], 10, 8)
		*to, err = int(n), cmp.Or(err, e)
	}
	return p, err == nil && p.row <= trusty && p.need >= few && p.need <= many && p.above <= often
}
