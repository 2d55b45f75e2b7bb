// Package repeat says which commands may run a second time, after the node that ran them was lost.
//
// That the first run is over is not its business: who asks has to know. What it knows of the first run it is told (Run), and of the command
// (Command) it sees the arguments and the environment, as text. So a yes means: a second run leaves what one run leaves, wherever the first was cut off,
// as long as the names mean what they say. Whatever it does not understand for certain is a no.
//
// Pure. Nothing here is called but for a command whose node was lost.
package repeat

import (
	"errors"
	"fmt"
)

// Mode is the rule that the user chose.
type Mode uint8

const (
	Never  Mode = iota // a command that was sent and lost is a loss
	Safe               // it runs again if that can't be told from one run
	Always             // it runs again
	Slow               // as Safe; and where its node is far too slow with it, it is as if that were lost
)

func (m Mode) String() string { return [...]string{"never", "safe", "always", "slow"}[m] }

// ParseMode reads a Mode.
func ParseMode(text string) (Mode, error) {
	for m := Never; m <= Slow; m++ {
		if m.String() == text {
			return m, nil
		}
	}
	return Never, errors.New("want never, safe, slow or always")
}

// Run is what home knows of the runs that were lost.
type Run struct {
	Count    int  // how many there were
	Terminal bool // it had one
	Input    bool // it was given bytes of its caller's, by stdin or another descriptor
	Closed   bool // it has closed or shut down a descriptor of its caller
	Signals  bool // it was sent some that are meant to end it, or are its own business
	Stopped  bool // it was
	Output   bool // its caller has seen some
}

// runs is how often one command is started in all: what takes its node down wherever it goes must not take down all.
const runs = 3

// Again says whether a command whose node was lost runs again, and why or why not. Under Never there is nothing to say.
func (m Mode) Again(r Run, c Command) (why string, again bool) {
	switch {
	case m == Never:
		return "", false
	case r.Count >= runs:
		return fmt.Sprintf("it was lost %d times", r.Count), false
	case r.Terminal:
		return "it has a terminal", false
	case r.Input:
		return "it has read of its input", false
	case r.Closed:
		return "it has closed a descriptor of its caller", false
	case r.Signals:
		return "it was sent a signal", false
	case r.Stopped:
		return "it is stopped", false
	case m == Always:
		return "always", true
	case r.Output:
		return "what it printed was shown", false
	}
	if why, ok := c.Repeatable(); ok {
		return why, true
	}
	return "a second run might do more than one", false
}
