package place

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mexec"
)

// Nodes is a wish as the NODES variable states it: a list of items, of which a node must meet one:
//
//	3  1-8  node7  node[8-11]   numbers, ranges, names and ranges of names
//	label:gpu                   nodes that have this label
//	arch:arm64                  nodes of this architecture, by any of its usual names
//	label:gpu+arch:arm64        nodes that meet all that stands between the +
//
// The zero value is no wish: any node will do.
type Nodes struct {
	text  string
	items []item
}

// item is met by a node that meets all of its terms; a term by one that is in any of its spans.
type (
	item []term
	term []span
)

// span is a range of node numbers, or of numbers between a prefix and a suffix of a name; a name; a label; or an architecture.
type span struct {
	lo, hi         int
	number         bool // of node numbers
	prefix, suffix string
	width          int    // digits of a zero-padded range
	name           string // a plain name
	label, arch    string
}

const maxNode = 1 << 20

// ParseNodes reads a NODES list. Items are separated by commas or blanks; empty items are nothing.
func ParseNodes(s string) (Nodes, error) {
	n := Nodes{text: s}
	for _, one := range splitItems(s) {
		var it item
		for part := range strings.SplitSeq(one, "+") { // no name, number or label has one
			t, err := parseTerm(part)
			if err != nil {
				return Nodes{}, fmt.Errorf("NODES %q: %w", s, err)
			}
			it = append(it, t)
		}
		n.items = append(n.items, it)
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

func parseTerm(s string) (term, error) {
	if s == "" {
		return nil, errors.New("nothing before or behind a +")
	}
	digit := s[0] >= '0' && s[0] <= '9'
	if digit && !strings.ContainsFunc(s, isLetter) { // a name has one, and may begin with a digit
		lo, hi, _, err := parseRange(s)
		if err != nil {
			return nil, err
		}
		return term{{lo: lo, hi: hi, number: true}}, nil
	}
	if kind, what, ok := strings.Cut(s, ":"); ok {
		return parseTrait(s, kind, what)
	}
	if c := rune(s[0]); !isLetter(c) && !digit && c < 0x80 {
		return nil, fmt.Errorf("%q is no %s", s, known)
	}
	open := strings.IndexByte(s, '[')
	if open < 0 {
		if strings.ContainsAny(s, "]*?/") {
			return nil, fmt.Errorf("%q is no %s", s, known)
		}
		return term{{name: s}}, nil
	}
	end := strings.IndexByte(s, ']')
	if end < open+2 || strings.ContainsAny(s[end+1:], "[]") || strings.Contains(s[open+1:end], "[") {
		return nil, fmt.Errorf("%q: want name[1-8]", s)
	}
	var spans term
	for part := range strings.SplitSeq(s[open+1:end], ",") {
		lo, hi, width, err := parseRange(part)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", s, err)
		}
		spans = append(spans, span{lo: lo, hi: hi, prefix: s[:open], suffix: s[end+1:], width: width})
	}
	return spans, nil
}

func isLetter(c rune) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// known is what an item can be.
const known = "number, range, name, name[range], label:NAME or arch:NAME"

// parseTrait reads what names nodes by what they are.
func parseTrait(s, kind, what string) (term, error) {
	switch kind {
	case "label":
		if err := mexec.CheckLabel(what); err != nil {
			return nil, err
		}
		return term{{label: what}}, nil
	case "arch":
		if what == "" || strings.ContainsAny(what, ":[]*?/") {
			return nil, fmt.Errorf("%q: want arch:NAME, such as arch:x86_64 or arch:arm64", s)
		}
		return term{{arch: commonArch(what)}}, nil
	}
	return nil, fmt.Errorf("%q is no %s", s, known)
}

// commonArch is one name for an architecture that has several: the kernel's is what nodes tell, Go's and Debian's are what people type.
func commonArch(name string) string {
	switch name = strings.ToLower(name); name {
	case "amd64", "x64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	case "386", "i386", "i486", "i586", "x86":
		return "i686"
	case "ppc64el":
		return "ppc64le"
	case "armhf", "armv8l":
		return "armv7l"
	}
	return name
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
func (n Nodes) Any() bool { return len(n.items) == 0 }

func (n Nodes) String() string { return n.text }

// Match says whether the wish includes a node. It is asked for each node and command, and so takes no copy and makes nothing.
func (n Nodes) Match(node *mexec.Node) bool {
	if n.Any() {
		return true
	}
	for _, it := range n.items {
		if it.match(node) {
			return true
		}
	}
	return false
}

func (it item) match(node *mexec.Node) bool {
	for _, t := range it {
		if !t.match(node) {
			return false
		}
	}
	return true
}

func (t term) match(node *mexec.Node) bool {
	for i := range t {
		if t[i].match(node) {
			return true
		}
	}
	return false
}

func (s *span) match(node *mexec.Node) bool {
	number, name := node.Number, string(node.Name)
	switch {
	case s.label != "":
		return node.Labelled(s.label)
	case s.arch != "":
		return commonArch(node.Arch) == s.arch
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
