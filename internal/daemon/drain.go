package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"mexec"
	"mexec/internal/local"
)

// A node that drains ends what it has of other nodes and takes nothing new of them, from the moment at which it was told so: what is started
// there by a grant that is still out is refused, and goes elsewhere. Its own users' commands run here as ever, since to their homes this node is
// not a favour: who wants the machine for himself means just that, and a command that no node takes must run somewhere.
//
// It is this node's own decision, by root or the daemon's user. Another node can't ask for it: the links prove nodes and not people, and one
// node that somebody has taken could drain a whole cluster.

// drain is whether this node drains, kept in a file so that it does after a restart, too.
type drain struct {
	file   string // empty: nowhere
	guests atomic.Int64

	mu    sync.Mutex
	state mexec.Drain
}

// longestWhy is what a reason may have, in bytes: it travels in the gossip (cluster/facts.go).
const longestWhy = 100

// openDrain finds what the last daemon of this state directory was told.
func openDrain(dir string) (*drain, error) {
	d := &drain{}
	if dir == "" {
		return d, nil
	}
	d.file = filepath.Join(dir, "drain.json")
	b, err := os.ReadFile(d.file)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &d.state)
	}
	if err != nil {
		return nil, fmt.Errorf("drain %s: %w", d.file, err)
	}
	d.state.Draining = true
	return d, nil
}

func (d *drain) now() mexec.Drain {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.state
	s.Guests = int(d.guests.Load())
	return s
}

// set changes and keeps it. The file is written first: what was promised must hold after a crash.
func (d *drain) set(to mexec.Drain) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.keep(to); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	d.state = to
	return nil
}

func (d *drain) keep(to mexec.Drain) error {
	switch {
	case d.file == "":
		return nil
	case !to.Draining:
		if err := os.Remove(d.file); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	b, err := json.Marshal(to)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.file+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(d.file+".new", d.file)
}

// drains answers `drain`, `drain WHY`, `undrain` and `guests`; only the last is anybody's to ask.
func (d *Daemon) drains(cred local.Cred, word, why string) (mexec.Drain, error) {
	state := d.drain.now()
	if word == "guests" {
		return state, nil
	}
	if cred.UID != 0 && cred.UID != uint32(os.Getuid()) {
		return state, fmt.Errorf("%s: only root may do that, not uid %d", word, cred.UID)
	}
	if d.pool == nil {
		return state, fmt.Errorf("%s: this node is in no cluster, and takes no commands of others", word)
	}
	if word == "undrain" {
		state = mexec.Drain{}
	} else {
		if err := checkWhy(why); err != nil {
			return state, err
		}
		if !state.Draining {
			state.Draining, state.Since, state.Why = true, d.now(), ""
		}
		if why != "" {
			state.Why = why
		}
	}
	if err := d.drain.set(state); err != nil {
		return state, err
	}
	d.placer.drains(state.Draining)
	d.log.Info(fmt.Sprintf("%s by uid %d: %s", word, cred.UID, drainWords(state)))
	if err := d.cluster.Drain(state.Draining, state.Why); err != nil {
		d.log.Warn(err.Error()) // who has a link to us hears it there
	}
	return d.drain.now(), nil
}

func checkWhy(why string) error {
	switch {
	case len(why) > longestWhy:
		return fmt.Errorf("drain: a reason of %d bytes, at most %d", len(why), longestWhy)
	case !utf8.ValidString(why) || strings.ContainsFunc(why, unicode.IsControl):
		return errors.New("drain: the reason is not one line of text")
	}
	return nil
}

// drainWords says it in one line.
func drainWords(s mexec.Drain) string {
	switch {
	case !s.Draining:
		return "takes commands of other nodes"
	case s.Why == "":
		return "draining"
	}
	return "draining: " + s.Why
}
