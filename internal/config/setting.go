package config

import (
	"errors"
	"fmt"
	"net"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mexec"
)

type kind int

const (
	text kind = iota
	number
	boolean
)

// setting is all there is to know about one of them. Its name is its key in the file, its flag after "--", and its variable
// after MEXECD_.
type setting struct {
	name     string
	meaning  string
	kind     kind                        // how it is written in TOML
	list     bool                        // of text; commas outside TOML
	fallback string                      // its value where nobody says anything
	machine  func(env, bool) string      // instead of fallback, where that depends on who asks
	shown    string                      // how the tables describe machine
	set      func(*Config, string) error // of a list: adds, and "" empties it
	get      func(*Config) []string      // one, or a list
}

type env = func(string) string

var settings = []setting{
	{
		name: "config", fallback: DefaultFile,
		meaning: "this file (TOML); only the default one may be missing",
		set:     func(c *Config, s string) error { c.File = s; return nil },
		get:     func(c *Config) []string { return []string{c.File} },
	}, {
		name: "listen", fallback: ":7733",
		meaning: "address of the link port: other nodes' jobs, and joining",
		set:     address(func(c *Config) *string { return &c.Listen }),
		get:     func(c *Config) []string { return []string{c.Listen} },
	}, {
		name: "gossip", fallback: ":7734",
		meaning: "address of membership gossip, TCP and UDP",
		set:     address(func(c *Config) *string { return &c.Gossip }),
		get:     func(c *Config) []string { return []string{c.Gossip} },
	}, {
		name: "advertise", shown: "the outgoing address",
		meaning: "host or IP address that the other nodes reach this one by",
		set:     advertise,
		get:     func(c *Config) []string { return []string{c.Advertise} },
	}, {
		name: "socket", machine: socket, shown: "root: /run/mexec/mexecd.sock, else $XDG_RUNTIME_DIR/mexec/mexecd.sock",
		meaning: "unix socket of this node's own commands; in the state directory where there is no XDG_RUNTIME_DIR",
		set:     path(func(c *Config) *string { return &c.Socket }),
		get:     func(c *Config) []string { return []string{c.Socket} },
	}, {
		name: "state", machine: state, shown: "root: /var/lib/mexec, else ~/.local/state/mexec",
		meaning: "directory of the node's identity, and of what commands cost (history.db)",
		set:     path(func(c *Config) *string { return &c.State }),
		get:     func(c *Config) []string { return []string{c.State} },
	}, {
		name: "slots", kind: number, fallback: "0",
		meaning: "commands that may run here at once; 0: as many as CPUs that the daemon may use",
		set:     whole(func(c *Config) *int { return &c.Slots }, 1<<16),
		get:     func(c *Config) []string { return []string{strconv.Itoa(c.Slots)} },
	}, {
		name: "memory", shown: "what the daemon may have, less a 32nd of it",
		meaning: "memory that commands may use here together, such as 6GiB or 900MiB",
		set:     memory,
		get:     func(c *Config) []string { return []string{memoryText(c.Memory)} },
	}, {
		name: "labels", list: true, shown: "none",
		meaning: "what this node is or has, as NODES=label:gpu asks for it",
		set:     labels,
		get:     func(c *Config) []string { return c.Labels },
	}, {
		name: "owner-first", kind: boolean, fallback: "false",
		meaning: "what this machine's users do besides shrinks what other nodes get of its slots",
		set:     yesNo(func(c *Config) *bool { return &c.OwnerFirst }),
		get:     func(c *Config) []string { return []string{strconv.FormatBool(c.OwnerFirst)} },
	}, {
		name: "owner-floor", kind: number, fallback: "1",
		meaning: "with owner-first: slots that other nodes may always have",
		set:     whole(func(c *Config) *int { return &c.OwnerFloor }, 1<<16),
		get:     func(c *Config) []string { return []string{strconv.Itoa(c.OwnerFloor)} },
	}, {
		name: "guest-nice", kind: number, fallback: "0",
		meaning: "0 to 19: how much nicer commands of other nodes run here than their callers have them; 20: only when no other process wants the CPU",
		set:     whole(func(c *Config) *int { return &c.GuestNice }, 20),
		get:     func(c *Config) []string { return []string{strconv.Itoa(c.GuestNice)} },
	}, {
		name: "weights", list: true, shown: "1 for each",
		meaning: "how much of this node's slots users get beside others who want them, such as alice=3 or 1004=0.5; by name or number",
		set:     weights,
		get:     texts(func(c *Config) []Weight { return c.Weights }),
	}, {
		name: "allow", list: true, shown: "any member",
		meaning: "networks that may connect, CIDR or address/mask; loopback always may. Bare arguments are pairs of address and mask",
		set:     allow,
		get:     texts(func(c *Config) []Net { return c.Allow }),
	}, {
		name: "join", list: true, shown: "those known from joining",
		meaning: "gossip addresses of more nodes to look for, host:port",
		set:     join,
		get:     func(c *Config) []string { return c.Join },
	}, {
		name: "keepalive", fallback: "5s",
		meaning: "a node that is silent for so long is gone, and its jobs with it",
		set:     span(func(c *Config) *time.Duration { return &c.KeepAlive }, 100*time.Millisecond),
		get:     func(c *Config) []string { return []string{c.KeepAlive.String()} },
	}, {
		name: "max-skew", fallback: "1s",
		meaning: "a node whose clock is further off gets no job",
		set:     span(func(c *Config) *time.Duration { return &c.MaxSkew }, time.Millisecond),
		get:     func(c *Config) []string { return []string{c.MaxSkew.String()} },
	}, {
		name: "root-jobs", kind: boolean, fallback: "false",
		meaning: "run commands here that root sends from other nodes",
		set:     yesNo(func(c *Config) *bool { return &c.RootJobs }),
		get:     func(c *Config) []string { return []string{strconv.FormatBool(c.RootJobs)} },
	}, {
		name: "cgroup", shown: "mexec/ and the node's name",
		meaning: "cgroup below which jobs get groups of their own",
		set:     func(c *Config, s string) error { c.Cgroup = s; return nil },
		get:     func(c *Config) []string { return []string{c.Cgroup} },
	}, {
		name: "log-level", fallback: "info",
		meaning: "debug, info, warn or error",
		set:     logLevel,
		get:     func(c *Config) []string { return []string{c.LogLevel} },
	}, {
		name: "debug", kind: boolean, fallback: "false",
		meaning: "show each job that this node is given",
		set:     yesNo(func(c *Config) *bool { return &c.Debug }),
		get:     func(c *Config) []string { return []string{strconv.FormatBool(c.Debug)} },
	},
}

func lookup(name string) *setting {
	for i := range settings {
		if settings[i].name == name {
			return &settings[i]
		}
	}
	return nil
}

func (s *setting) variable() string {
	return "MEXECD_" + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

func (s *setting) standard(getenv env, root bool) string {
	if s.machine != nil {
		return s.machine(getenv, root)
	}
	return s.fallback
}

func socket(getenv env, root bool) string {
	if root {
		return "/run/mexec/mexecd.sock"
	}
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "mexec/mexecd.sock")
	}
	return "" // Load puts it into the state directory
}

func state(getenv env, root bool) string {
	if root {
		return "/var/lib/mexec"
	}
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "mexec")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local/state/mexec")
	}
	return ""
}

// What follows reads one kind of value each. An error says what was found and what would do.

func address(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, s string) error {
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			return fmt.Errorf("%q: not HOST:PORT or :PORT", s)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("%q: port %q is none", s, port)
		}
		*field(c) = net.JoinHostPort(host, port)
		return nil
	}
}

func advertise(c *Config, s string) error {
	if _, _, err := net.SplitHostPort(s); err == nil || strings.ContainsAny(s, "/ ") {
		return fmt.Errorf("%q: a host or an IP address, without a port", s)
	}
	if ip := net.ParseIP(s); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("%q: nobody could reach that", s)
	}
	c.Advertise = s
	return nil
}

func path(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, s string) error {
		if s != "" && !filepath.IsAbs(s) {
			return fmt.Errorf("%q: not an absolute path", s)
		}
		*field(c) = s
		return nil
	}
}

func whole(field func(*Config) *int, most int) func(*Config, string) error {
	return func(c *Config, s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > most {
			return fmt.Errorf("%q: not a number from 0 to %d", s, most)
		}
		*field(c) = n
		return nil
	}
}

func texts[T fmt.Stringer](list func(*Config) []T) func(*Config) []string {
	return func(c *Config) []string {
		s := []string{}
		for _, one := range list(c) {
			s = append(s, one.String())
		}
		return s
	}
}

// labelsLimit is for all labels together, with commas between: they travel with a node's facts, which have a limit (cluster/facts.go).
const labelsLimit = 200

func labels(c *Config, s string) error {
	if s == "" {
		c.Labels = nil
	}
	for one := range fields(s) {
		if err := mexec.CheckLabel(one); err != nil {
			return err
		}
		if !slices.Contains(c.Labels, one) {
			c.Labels = append(c.Labels, one)
		}
	}
	if all := len(strings.Join(c.Labels, ",")); all > labelsLimit {
		return fmt.Errorf("%d bytes of labels, at most %d", all, labelsLimit)
	}
	return nil
}

// units of memory, the largest first.
var units = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func memory(c *Config, s string) error {
	c.Memory = 0
	if s == "" {
		return nil
	}
	for _, u := range units {
		text, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || !(n*float64(u.bytes) >= 1<<20 && n*float64(u.bytes) < 1<<60) {
			break
		}
		c.Memory = int64(n * float64(u.bytes))
		return nil
	}
	return fmt.Errorf("%q: not an amount of memory such as 6GiB or 900MiB, at least 1MiB", s)
}

// memoryText is the shortest text that memory reads so.
func memoryText(n int64) string {
	for _, u := range units {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	if n == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(n)/(1<<10), 'f', -1, 64) + "KiB"
}

// Weight is how much of a node's slots a user gets beside another of weight 1.
type Weight struct {
	UID  uint32
	Of   float64
	text string
}

func (w Weight) String() string { return w.text }

func weights(c *Config, s string) error {
	if s == "" {
		c.Weights = nil
	}
	for one := range fields(s) {
		name, number, _ := strings.Cut(one, "=")
		of, err := strconv.ParseFloat(number, 64)
		if err != nil || name == "" || !(of >= 0.01 && of <= 100) {
			return fmt.Errorf("%q: not USER=WEIGHT, such as alice=3, of a weight from 0.01 to 100", one)
		}
		uid, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			u, err := user.Lookup(name)
			if err != nil {
				return fmt.Errorf("%q: no user %s in /etc/passwd: give the number", one, name)
			}
			uid, _ = strconv.ParseUint(u.Uid, 10, 32)
		}
		c.Weights = append(c.Weights, Weight{uint32(uid), of, one})
	}
	return nil
}

func allow(c *Config, s string) error {
	if s == "" {
		c.Allow = nil
	}
	for one := range fields(s) {
		n, err := ParseNet(one)
		if err != nil {
			return err
		}
		c.Allow = append(c.Allow, n)
	}
	return nil
}

func join(c *Config, s string) error {
	if s == "" {
		c.Join = nil
	}
	for one := range fields(s) {
		if host, port, err := net.SplitHostPort(one); err != nil || host == "" || port == "" {
			return fmt.Errorf("%q: not HOST:PORT", one)
		}
		c.Join = append(c.Join, one)
	}
	return nil
}

func fields(s string) func(func(string) bool) {
	return strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == ' ' })
}

func span(field func(*Config) *time.Duration, least time.Duration) func(*Config, string) error {
	return func(c *Config, s string) error {
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q: not a time such as 500ms or 5s", s)
		}
		if d < least {
			return fmt.Errorf("%q: shorter than %v", s, least)
		}
		*field(c) = d
		return nil
	}
}

func yesNo(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, s string) error {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("%q: not true or false", s)
		}
		*field(c) = b
		return nil
	}
}

func logLevel(c *Config, s string) error {
	switch s {
	case "debug", "info", "warn", "error":
		c.LogLevel = s
		return nil
	}
	return errors.New(strconv.Quote(s) + ": not debug, info, warn or error")
}
