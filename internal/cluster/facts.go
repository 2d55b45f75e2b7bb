package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"mexec"
)

// Facts are what a node says about itself once, when it joins. While its daemon lives only a person changes them, seldom: by Drain. What
// changes by itself is Load, and takes another way (window.go).
type Facts struct {
	Number  int          // from 1; NODES uses it
	Name    mexec.NodeID // the name in the node's certificate
	Link    string       // host:port of the gRPC link
	Slots   int
	Version string
	Arch    string
	Boot    string // boot id of its kernel
	Labels  string // with commas between

	Draining bool   // it takes no more jobs of others
	Why      string // it drains, in a person's words

	Memory int64   // bytes that its jobs may use; 0: not known. Whole MiB travel
	CPUs   float64 // that its jobs may use; 0: not known. Hundredths travel
}

// factsLimit is memberlist's own limit for what travels with a member (MetaMaxSize, a constant there).
const factsLimit = 512

const factsFormat = 1

// encodeFacts writes them as
//
//	u8 format = 1 · uvarint number · uvarint slots · name · link · version · arch · boot
//
// and, where any of these says something,
//
//	labels · uvarint draining (0 or 1) · why · uvarint memory in MiB · uvarint hundredths of CPUs
//
// where a string is its length as a uvarint and then its bytes. New fields are appended: a reader takes what it knows.
// Protobuf would be no shorter, and would put a generated package between two functions.
func encodeFacts(f Facts) ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("encode facts: %w", err)
	}
	b := []byte{factsFormat}
	b = binary.AppendUvarint(b, uint64(f.Number))
	b = binary.AppendUvarint(b, uint64(f.Slots))
	for _, s := range []string{string(f.Name), f.Link, f.Version, f.Arch, f.Boot} {
		b = appendText(b, s)
	}
	memory, cpus := f.Memory>>20, math.Round(f.CPUs*100)
	if f.Labels != "" || f.Draining || f.Why != "" || memory != 0 || cpus != 0 {
		b = appendText(b, f.Labels)
		b = binary.AppendUvarint(b, uint64(number(f.Draining)))
		b = appendText(b, f.Why)
		b = binary.AppendUvarint(b, uint64(memory))
		b = binary.AppendUvarint(b, uint64(cpus))
	}
	if len(b) > factsLimit {
		return nil, fmt.Errorf("encode facts: %d bytes, at most %d travel with a member", len(b), factsLimit)
	}
	return b, nil
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func decodeFacts(b []byte) (Facts, error) {
	if len(b) == 0 || len(b) > factsLimit {
		return Facts{}, fmt.Errorf("decode facts: %d bytes", len(b))
	}
	if b[0] != factsFormat {
		return Facts{}, fmt.Errorf("decode facts: format %d is not known", b[0])
	}
	r := reader{rest: b[1:]}
	f := Facts{Number: r.number(), Slots: r.number()}
	for _, s := range []*string{(*string)(&f.Name), &f.Link, &f.Version, &f.Arch, &f.Boot} {
		*s = r.text()
	}
	if len(r.rest) > 0 {
		f.Labels = r.text()
		f.Draining = r.number() != 0
		f.Why = r.text()
	}
	if len(r.rest) > 0 {
		f.Memory = int64(r.number()) << 20
	}
	if len(r.rest) > 0 {
		f.CPUs = float64(r.number()) / 100
	}
	if r.short {
		return Facts{}, errors.New("decode facts: cut short or too large")
	}
	if err := f.check(); err != nil {
		return Facts{}, fmt.Errorf("decode facts: %w", err)
	}
	return f, nil
}

// reader takes one field after the other. Once one is cut short all are empty.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) number() int {
	v, used := binary.Uvarint(r.rest)
	if r.short || used <= 0 || v > math.MaxInt32 {
		r.short = true
		return 0
	}
	r.rest = r.rest[used:]
	return int(v)
}

func (r *reader) text() string {
	n := r.number()
	if r.short || n > len(r.rest) {
		r.short = true
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

// check refuses what could not be shown, named in NODES or told apart from another node's facts.
func (f Facts) check() error {
	switch {
	case f.Number < 1 || f.Number > math.MaxInt32:
		return fmt.Errorf("node number %d", f.Number)
	case f.Slots < 0 || f.Slots > math.MaxInt32:
		return fmt.Errorf("%d slots", f.Slots)
	case f.Memory < 0 || f.Memory>>20 > math.MaxInt32:
		return fmt.Errorf("%d bytes of memory", f.Memory)
	case !(f.CPUs >= 0 && f.CPUs <= math.MaxInt32/100):
		return fmt.Errorf("%v CPUs", f.CPUs)
	case f.Name == "":
		return errors.New("no node name")
	case strings.ContainsRune(string(f.Name), '#'):
		return fmt.Errorf("node name %q has a #", f.Name)
	}
	for _, s := range []string{string(f.Name), f.Link, f.Version, f.Arch, f.Boot, f.Labels, f.Why} {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			return fmt.Errorf("%q is no text", s)
		}
	}
	return nil
}

// life tells one run of a daemon from another run under the same node name: nanoseconds since 1970 at its start.
type life int64

// memberName is what gossip knows a daemon by. A restart is a new member, because a node that comes back under its
// old name with its counters at zero can stay dead in the eyes of the others (memberlist#311).
func memberName(name mexec.NodeID, l life) string {
	return string(name) + "#" + strconv.FormatInt(int64(l), 36)
}

func parseMemberName(s string) (mexec.NodeID, life, error) {
	name, start, ok := strings.Cut(s, "#")
	l, err := strconv.ParseInt(start, 36, 64)
	if !ok || name == "" || err != nil {
		return "", 0, fmt.Errorf("parse member %q: not NAME#START", s)
	}
	return mexec.NodeID(name), life(l), nil
}
