package jobserver

import (
	"bytes"
	"slices"
	"time"
)

// Lender decides what the home does with the tokens of one jobserver, and keeps the book of those that it has lent.
type Lender struct {
	borrowers []*Borrower // who was served last stands last
	empty     time.Time   // when the pipe was last seen so
}

// Borrower is one job on another node, and the page in the book that is its own.
type Borrower struct {
	lent     []byte
	sent     int // tokens, ever
	asking   bool
	standing int // offers that stand there, as far as known
	recalled bool
}

// Move is what is to be done next: for To, unless that is nil.
type Move struct {
	To       *Borrower
	Recall   bool      // ask for what is unread there; else take a token and offer it
	Standing bool      // the offer may stay unread
	Watch    bool      // come again when the pipe has a token
	Wake     time.Time // come again then; zero: not before something happens
}

// Join opens a page.
func (l *Lender) Join() *Borrower {
	b := &Borrower{}
	l.borrowers = append(l.borrowers, b)
	return b
}

// Next decides, where `free` tokens are in the home's pipe. Whoever has done what it says tells so (Lent, Recalled) and asks again.
func (l *Lender) Next(now time.Time, free int) (m Move) {
	if free == 0 {
		l.empty = now
	}
	settled := now.Sub(l.empty) >= quiet
	var standing, without bool
	for _, b := range l.borrowers {
		switch {
		case b.asking && free > 0:
			return Move{To: b}
		case b.asking:
			m.Watch = true
		case b.standing > 0 && free == 0 && !b.recalled:
			return Move{To: b, Recall: true}
		case b.standing > 0:
			standing = standing || !b.recalled
		case free > 1 && settled:
			return Move{To: b, Standing: true}
		default:
			without = true
		}
	}
	switch {
	case standing:
		m.Wake = now.Add(look)
	case without:
		m.Wake = now.Add(quiet)
	}
	return m
}

// Lent notes that b was given a token.
func (l *Lender) Lent(m Move, token byte) {
	b := m.To
	b.lent = append(b.lent, token)
	b.sent++
	b.asking = false // it asks anew when it has this one
	if m.Standing {
		b.standing++
	}
	i := slices.Index(l.borrowers, b)
	l.borrowers = append(slices.Delete(l.borrowers, i, i+1), b)
}

// Recalled notes that b was asked for what is unread there.
func (l *Lender) Recalled(b *Borrower) { b.recalled = true }

// Heard takes what b says, and gives back. It returns what is to be written into the home's pipe. A byte that b was
// not lent stands for one that it was; with none left it is dropped.
func (l *Lender) Heard(b *Borrower, n News, back []byte) []byte {
	if n.Got == b.sent {
		b.asking, b.standing = n.Ask, n.Standing
	}
	b.recalled = false
	var home []byte
	for _, token := range back {
		if len(b.lent) == 0 {
			break
		}
		i := max(0, bytes.IndexByte(b.lent, token))
		home = append(home, b.lent[i])
		b.lent = slices.Delete(b.lent, i, i+1)
	}
	return home
}

// Gone closes the page of b, and returns what is to be written into the home's pipe: all that it still has.
func (l *Lender) Gone(b *Borrower) []byte {
	l.borrowers = slices.DeleteFunc(l.borrowers, func(o *Borrower) bool { return o == b })
	home := b.lent
	b.lent = nil
	return home
}

// Empty says that nobody borrows.
func (l *Lender) Empty() bool { return len(l.borrowers) == 0 }
