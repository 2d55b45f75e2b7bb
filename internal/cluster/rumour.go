package cluster

import (
	"log/slog"
	"strings"
	"sync"
	"time"
)

// memberlist writes its log as lines for its authors. Here they become records: all at debug level as they are, and the
// few that a person can do something about as one plain warning a minute.

// saying is what a line of memberlist means to a person.
type saying struct {
	has  string // in the line
	mean string // the empty meaning: normal while nodes come and go
}

// The first that fits is taken.
var sayings = []saying{
	{"no installed keys could decrypt", otherCluster},
	{"decrypt packet failed", otherCluster},
	{"remote state is not encrypted", otherCluster},
	{"too small to decrypt", otherCluster},
	{"unacceptable label", otherCluster},
	{"over TCP but UDP probes failed", "a member answers over TCP but not over UDP: is the gossip port open for both?"},
	{"handler queue full", "gossip comes in faster than this node can handle: it is overloaded"},
	{"ignoring alive message", "a member is not let into the view"},
	{"conflicting address", "two daemons gossip under one member name"},
	{"too many pending push/pull", "many nodes join at once: some will have to try again"},
	{"push/pull", ""},
	{"fallback tcp ping", ""},
	{"failed to send", ""},
	{"failed to receive", ""},
	{"failed to read remote state", ""},
	{"failed to push local state", ""},
	{"ping for unexpected node", ""}, // it was restarted
	{"refuting", ""},
}

const otherCluster = "gossip refused: the sender does not have this cluster's gossip key, it belongs to another cluster or to none"

// hear reads one line: the warning that it makes, if any, and where it came from, if it says so.
func hear(line string) (text, warning, from string) {
	text = strings.TrimSpace(line)
	level := ""
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if level, rest, ok = strings.Cut(rest, "] "); ok {
			text = rest
		}
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	if i := strings.LastIndex(text, "from="); i >= 0 {
		from = strings.TrimRight(text[i+len("from="):], ")")
	}
	if level != "WARN" && level != "ERR" && level != "ERROR" {
		return text, "", from
	}
	lower := strings.ToLower(text)
	for _, s := range sayings {
		if strings.Contains(lower, strings.ToLower(s.has)) {
			return text, s.mean, from
		}
	}
	return text, "trouble in the gossip", from
}

// rumours takes memberlist's lines. It may be written to by any goroutine, after Close as well: then it says nothing,
// because memberlist's own goroutines outlive its Shutdown by some seconds.
type rumours struct {
	log *slog.Logger

	mu    sync.Mutex // held while a record is written, so that mute can promise that none follows
	quiet bool
	last  map[string]time.Time
	more  map[string]int
}

func newRumours(log *slog.Logger) *rumours {
	return &rumours{log: log, last: make(map[string]time.Time), more: make(map[string]int)}
}

const sayAgain = time.Minute

func (r *rumours) Write(b []byte) (int, error) {
	text, warning, from := hear(string(b))
	if warning != "" {
		r.warn(warning, "line", text, "from", from)
		return len(b), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.quiet {
		r.log.Debug("gossip: " + text)
	}
	return len(b), nil
}

// warn says it once a minute, and then how often it was left unsaid.
func (r *rumours) warn(warning string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.quiet {
		return
	}
	if last, said := r.last[warning]; said && now.Sub(last) < sayAgain {
		r.more[warning]++
		return
	}
	if n := r.more[warning]; n > 0 {
		args = append(args, "more", n)
	}
	r.last[warning], r.more[warning] = now, 0
	r.log.Warn(warning, args...)
}

// mute returns when no further record will be written.
func (r *rumours) mute() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.quiet = true
}
