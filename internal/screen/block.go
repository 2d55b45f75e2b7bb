package screen

import (
	"fmt"
	"slices"
)

// block is what stands at the bottom of a terminal, and what is to be written there for it to change. The rest of the terminal is a scroll region
// (DECSTBM), so that what others write never reaches the block. The zero value is not there.
//
// Each of its answers is for one write, which the kernel does not mix with those of others, and leaves the cursor where they had it.
type block struct {
	rows, cols int // of the terminal that it is on
	lines      []string
	stale      bool // it was left behind on a terminal that somebody else has used since
}

func (b *block) there() bool { return b.lines != nil }

const (
	save    = "\x1b7" // the cursor, with its colours
	restore = "\x1b8"
	whole   = "\x1b[r" // no region; the cursor goes home
	below   = "\x1b[J" // is cleared
)

// draw brings the lines onto a terminal of that size, which has room for one more at least. With heal it trusts nothing that was drawn before: a job
// may have cleared or reset the terminal.
func (b *block) draw(rows, cols int, lines []string, heal bool) []byte {
	n := len(lines)
	top := rows - n // the last row of the region
	same := b.there() && b.rows == rows && b.cols == cols && len(b.lines) == n
	if same && !heal && slices.Equal(b.lines, lines) {
		return nil
	}
	var out []byte
	if !same || heal {
		out = fmt.Append(out, save, whole)
		if b.there() && b.rows == rows && b.cols == cols && len(b.lines) != n {
			out = fmt.Appendf(out, "\x1b[%d;1H\x1b[m%s", rows-len(b.lines)+1, below)
		}
		out = fmt.Append(out, restore)
		if b.stale || b.there() && (b.rows != rows || b.cols != cols) {
			// Where a terminal of another size has put the old lines nobody knows, but it was below the cursor.
			out = fmt.Append(out, save, "\x1b[m", below, restore)
		}
		// Room: down as many rows as the block has, which scrolls if the cursor is near the bottom, and up again. It does nothing
		// where the cursor is already above the block. IND keeps the column, a newline would not always.
		for range n {
			out = fmt.Append(out, "\x1bD")
		}
		out = fmt.Appendf(out, "\x1b[%dA", n)
	}
	out = fmt.Append(out, save)
	if !same || heal {
		out = fmt.Appendf(out, "\x1b[1;%dr", top)
	}
	out = fmt.Append(out, "\x1b[?7l") // a character that is wider than we believe must not go to the next row
	for i, line := range lines {
		if same && !heal && b.lines[i] == line {
			continue
		}
		out = fmt.Appendf(out, "\x1b[%d;1H\x1b[m\x1b[2K%s", top+1+i, line)
	}
	out = fmt.Append(out, "\x1b[m\x1b[?7h", restore)
	*b = block{rows: rows, cols: cols, lines: slices.Clone(lines)}
	return out
}

// erase takes the block and the region away from a terminal that has this size by now.
func (b *block) erase(rows, cols int) []byte {
	if !b.there() {
		return nil
	}
	out := fmt.Append(nil, save, whole)
	if b.rows == rows && b.cols == cols {
		out = fmt.Appendf(out, "\x1b[%d;1H\x1b[m%s%s", rows-len(b.lines)+1, below, restore)
	} else {
		out = fmt.Append(out, restore, save, "\x1b[m", below, restore)
	}
	*b = block{}
	return out
}

// yield gives the region back and leaves the lines as they are. It is for a program that draws the screen itself and has begun already: rows that
// we cleared would be missing from its picture.
func (b *block) yield() []byte {
	if !b.there() {
		return nil
	}
	*b = block{stale: true}
	return fmt.Append(nil, save, whole, restore)
}
