package place

import (
	"fmt"
	"strconv"
	"strings"

	"mexec"
)

// Nodes is a wish as the NODES variable states it: numbers, ranges, names and ranges of names, such as 1-3,5,node[8-11].
// The zero value is no wish: any node will do.
type Nodes struct {
	text  string
	spans []span
}

// span is a range of node numbers, or of numbers between a prefix and a suffix of a name.
type span struct {
	lo, hi         int
	number         bool // of node numbers
	prefix, suffix string
	width          int    // digits of a zero-padded range
	name           string // a plain name
}

const maxNode = 1 << 20

// ParseNodes reads a NODES list. Items are separated by commas or blanks; empty items are nothing.
func ParseNodes(s string) (Nodes, error) {
	n := Nodes{text: s}
	for _, item := range splitItems(s) {
		spans, err := parseItem(item)
		if err != nil {
			return Nodes{}, fmt.Errorf("NODES %q: %w", s, err)
		}
		n.spans = append(n.spans, spans...)
	}
	return n, nil
}

// splitItems splits at commas and blanks outside of brackets.
func splitItems(s string) []string {
	depth := 0
	return strings.FieldsFunc(s, func(r rune) bool {
		switch r {
		case '[':
			depth++
		case ']':
			depth--
		}
		return depth <= 0 && (r == ',' || r == ' ' || r == '\t' || r == '\n')
	})
}

func parseItem(item string) ([]span, error) {
	if c := item[0]; c >= '0' && c <= '9' {
		lo, hi, _, err := parseRange(item)
		if err != nil {
			return nil, err
		}
		return []span{{lo: lo, hi: hi, number: true}}, nil
	}
	if c := item[0] | 0x20; (c < 'a' || c > 'z') && c < 0x80 {
		return nil, fmt.Errorf("%q is no number, range, name or name[range]", item)
	}
	open := strings.IndexByte(item, '[')
	if open < 0 {
		if strings.ContainsAny(item, "]:*?/") {
			return nil, fmt.Errorf("%q is no number, range, name or name[range]", item)
		}
		return []span{{name: item}}, nil
	}
	end := strings.IndexByte(item, ']')
	if end < open+2 || strings.ContainsAny(item[end+1:], "[]") || strings.Contains(item[open+1:end], "[") {
		return nil, fmt.Errorf("%q: want name[1-8]", item)
	}
	var spans []span
	for part := range strings.SplitSeq(item[open+1:end], ",") {
		lo, hi, width, err := parseRange(part)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", item, err)
		}
		spans = append(spans, span{lo: lo, hi: hi, prefix: item[:open], suffix: item[end+1:], width: width})
	}
	return spans, nil
}

// parseRange reads "5" or "8-11"; width is the number of digits where the first one is a padding zero, else 0.
func parseRange(s string) (lo, hi, width int, err error) {
	a, b, ranged := strings.Cut(s, "-")
	if !ranged {
		b = a
	}
	if lo, err = parseNumber(a); err == nil {
		hi, err = parseNumber(b)
	}
	switch {
	case err != nil:
		return 0, 0, 0, fmt.Errorf("%q is no number or range of numbers", s)
	case hi < lo:
		return 0, 0, 0, fmt.Errorf("range %q runs backwards", s)
	}
	if len(a) > 1 && a[0] == '0' {
		width = len(a)
	}
	return lo, hi, width, nil
}

func parseNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n > maxNode {
		return 0, strconv.ErrRange
	}
	return int(n), nil
}

// Any says that there is no wish.
func (n Nodes) Any() bool { return len(n.spans) == 0 }

func (n Nodes) String() string { return n.text }

// Match says whether the wish includes the node of this number and name.
func (n Nodes) Match(number int, name mexec.NodeID) bool {
	if n.Any() {
		return true
	}
	for _, s := range n.spans {
		if s.match(number, string(name)) {
			return true
		}
	}
	return false
}

func (s span) match(number int, name string) bool {
	switch {
	case s.number:
		return s.lo <= number && number <= s.hi
	case s.name != "":
		return s.name == name
	}
	if len(name) <= len(s.prefix)+len(s.suffix) || !strings.HasPrefix(name, s.prefix) || !strings.HasSuffix(name, s.suffix) {
		return false
	}
	digits := name[len(s.prefix) : len(name)-len(s.suffix)]
	n, err := parseNumber(digits)
	if err != nil || n < s.lo || n > s.hi {
		return false
	}
	if s.width > 0 {
		return len(digits) == max(s.width, len(strconv.Itoa(n)))
	}
	return digits == strconv.Itoa(n)
}
