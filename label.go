package mexec

import (
	"fmt"
	"strings"
)

// CheckLabel tells whether a node can have this label: it is written in NODES, between commas and +, and so has none of their characters.
func CheckLabel(s string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	switch {
	case s == "":
		return fmt.Errorf("label %q: empty", s)
	case len(s) > 63:
		return fmt.Errorf("label %.20q…: longer than 63 bytes", s)
	case !strings.ContainsRune(letters, rune(s[0])) || strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(letters+"._-", r) }):
		return fmt.Errorf("label %q: letters, digits, '.', '_' and '-', and first a letter or digit", s)
	}
	return nil
}

// Labelled tells whether a node has a label.
func (n *Node) Labelled(label string) bool {
	for rest := n.Labels; rest != ""; {
		var one string
		if one, rest, _ = strings.Cut(rest, ","); one == label {
			return true
		}
	}
	return false
}
