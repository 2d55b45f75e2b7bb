package monitor

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Program is the name of the program that a command runs: its first word without directories, or that of what a shell is told to run.
func Program(command string) string {
	words := strings.Fields(command)
	if len(words) == 0 {
		return "?"
	}
	name := path.Base(words[0])
	if len(words) > 2 && strings.HasSuffix(name, "sh") && words[1] == "-c" {
		for i := 2; i < len(words); i++ {
			w := strings.Trim(words[i], `'"(){};@-&|\`)
			if w == "cd" {
				i++ // and there it goes
				continue
			}
			if w == "" || words[i][0] == '-' || strings.Contains(w, "=") || w == "exec" || w == "set" {
				continue
			}
			if slices.Contains([]string{"for", "case", "if", "while", "until"}, w) || strings.ContainsAny(w, "$`<>") {
				break // of several programs it is the shell's own
			}
			return path.Base(w)
		}
	}
	return name
}

// isDriver knows by the shim's reason (libmexec/journal.h) that a command stays and that what it starts travels. A line that make calls recursive may
// be any that is marked by a +.
func isDriver(command, why string) bool {
	if strings.HasPrefix(why, "recursive") {
		return strings.Contains(command, "make")
	}
	return strings.HasPrefix(why, "a make") || strings.Contains(why, "a driver") || strings.Contains(why, "chooses nodes itself")
}

// isLoss knows a job that is to run again from one that was refused.
func isLoss(why string) bool {
	return strings.Contains(why, " was lost (") || strings.Contains(why, " was slow (")
}

// clock is a time span as a clock shows it.
func clock(d time.Duration) string {
	s := int(max(0, d).Seconds())
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// seconds is a time span in words: 0.4 s, 12 s, 3 min 20 s.
func seconds(d time.Duration) string {
	switch s := max(0, d).Seconds(); {
	case s < 9.95:
		return fmt.Sprintf("%.1f s", s)
	case s < 119.5:
		return fmt.Sprintf("%.0f s", s)
	case s < 7200:
		n := int(s + 0.5)
		return fmt.Sprintf("%d min %d s", n/60, n%60)
	default:
		n := int(s/60 + 0.5)
		return fmt.Sprintf("%d h %d min", n/60, n%60)
	}
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", one, "s")
}

// Width is how many columns a rune takes on a terminal.
//
// Of the wide ones these are the blocks that hold whole scripts and pictures; a table of each character is in no version the terminal's own anyway.
func Width(r rune) int {
	switch {
	case r == 0x200d || unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0x303e, r >= 0x3041 && r <= 0xa4cf, r >= 0xa960 && r <= 0xa97c, r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6,
		r >= 0x1f300 && r <= 0x1f64f, r >= 0x1f680 && r <= 0x1f6ff, r >= 0x1f900 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// columns is the width of a text.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += Width(r)
	}
	return n
}

// plain makes a text of anybody's fit to be shown: one line, nothing that a terminal obeys, valid UTF-8.
func plain(s string) string {
	clean := true
	for _, r := range s {
		clean = clean && r != utf8.RuneError && (r == ' ' || unicode.IsGraphic(r))
	}
	if clean {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsGraphic(r):
			return '?'
		}
		return r
	}, s)
}

// cut shortens a text to a width, and marks that by dots.
func cut(s string, width int, dots string) string {
	if columns(s) <= width {
		return s
	}
	width -= columns(dots)
	if width < 0 {
		return ""
	}
	at, n := 0, 0
	for i, r := range s {
		n += Width(r)
		if n > width {
			break
		}
		at = i + utf8.RuneLen(r)
	}
	return s[:at] + dots
}

// pad fills a text up to a width.
func pad(s string, width int) string { return s + strings.Repeat(" ", max(0, width-columns(s))) }

// valid is a text with what is no UTF-8 replaced: commands are bytes, JSON is not.
func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
