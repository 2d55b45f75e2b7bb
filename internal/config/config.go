// Package config is what the daemon is told: by its built-in defaults, a file, the environment and its arguments, the later
// the stronger.
//
// One list of settings drives all four and the tables of --help and the README, so none of them can drift.
//
// Load reads at most one file and changes nothing. What it returns is complete and checked; every error is one line that
// names the place: `config /etc/mexec/mexecd.toml:3: keepalive: …`, `config MEXECD_SLOTS: …`, `config --listen: …`.
package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultFile is read where no other is named; only this one may be missing.
const DefaultFile = "/etc/mexec/mexecd.toml"

// Config is what a daemon runs by.
type Config struct {
	File       string // where the file was looked for
	Listen     string
	Gossip     string
	Advertise  string // "": see OutgoingHost
	Socket     string
	State      string
	Slots      int   // 0: as many as CPUs that the daemon may use
	Memory     int64 // bytes of all commands; 0: what the daemon may have, less a reserve
	Labels     []string
	OwnerFirst bool
	OwnerFloor int
	GuestNice  int
	Weights    []Weight
	Allow      []Net
	Join       []string
	KeepAlive  time.Duration
	MaxSkew    time.Duration
	RootJobs   bool
	Cgroup     string // "": mexec/NAME
	LogLevel   string
	Debug      bool

	CheckConfig bool // print and end: the request of one run, so it is no setting
	Hidden      bool // commands find Socket only where MEXEC_SOCKET names it

	from map[string]string // by setting: where its value came from
}

// Load reads a daemon's arguments (without the program's name), its environment, and the file that they name. root chooses
// between the paths of the machine's daemon and a user's own. The error for --help is flag.ErrHelp: print Usage.
func Load(args []string, getenv func(string) string, root bool) (*Config, error) {
	c := &Config{from: make(map[string]string)}
	for _, s := range settings {
		if err := s.set(c, s.standard(getenv, root)); err != nil {
			panic(fmt.Sprintf("default of %s: %v", s.name, err))
		}
		c.from[s.name] = "default"
	}
	// The arguments come first for their form and last for their force: the file is named among them.
	a, err := parseArgs(args)
	if err != nil {
		return nil, err
	}
	explicit := false
	for _, v := range []value{{"config", getenv("MEXECD_CONFIG"), "MEXECD_CONFIG"}, a.last("config")} {
		if v.text != "" {
			c.File, c.from["config"], explicit = v.text, v.from, true
		}
	}
	file, err := readFile(c.File, explicit)
	if err != nil {
		return nil, err
	}
	for _, layer := range [][]value{file, environment(getenv), a.values} {
		if err := c.apply(layer); err != nil {
			return nil, err
		}
	}
	c.CheckConfig = a.check
	if c.State == "" {
		return nil, errors.New("config --state: neither it nor XDG_STATE_HOME nor HOME is set")
	}
	if c.Socket == "" {
		c.Socket = filepath.Join(c.State, "mexecd.sock")
	}
	if most := len(unix.RawSockaddrUnix{}.Path) - 1; len(c.Socket) > most {
		return nil, fmt.Errorf("config --socket: %q: longer than %d bytes, which is all that the address of a socket has", c.Socket, most)
	}
	c.Hidden = c.Socket != socket(getenv, root)
	return c, nil
}

// value is one setting's text, and the words for where it was found.
type value struct{ name, text, from string }

// apply lets a layer override the ones before it. Within one layer a list grows, so that --allow can be given twice.
func (c *Config) apply(layer []value) error {
	seen := make(map[string]bool)
	for _, v := range layer {
		s := lookup(v.name)
		if s.list && !seen[v.name] {
			s.set(c, "")
		}
		seen[v.name] = true
		if err := s.set(c, v.text); err != nil {
			if strings.Contains(v.from, ":") { // a line of the file says where, not what
				err = fmt.Errorf("%s: %w", v.name, err)
			}
			return fmt.Errorf("config %s: %w", v.from, err)
		}
		c.from[v.name] = v.from
	}
	return nil
}

func environment(getenv func(string) string) []value {
	var layer []value
	for _, s := range settings {
		if text := getenv(s.variable()); text != "" {
			layer = append(layer, value{s.name, text, s.variable()})
		}
	}
	return layer
}

// arguments are what the command line says, in order.
type arguments struct {
	values []value
	check  bool
}

func (a *arguments) last(name string) (v value) {
	for _, x := range a.values {
		if x.name == name {
			v = x
		}
	}
	return v
}

// parseArgs reads flags and, as the first mexecd had them, pairs of an IP address and a mask, in any order.
func parseArgs(args []string) (*arguments, error) {
	a := new(arguments)
	fs := flag.NewFlagSet("mexecd", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.BoolVar(&a.check, "check-config", false, "")
	for _, s := range settings {
		add := func(text string) error {
			a.values = append(a.values, value{s.name, text, "--" + s.name})
			return nil
		}
		if s.kind == boolean {
			fs.BoolFunc(s.name, "", add)
		} else {
			fs.Func(s.name, "", add)
		}
	}
	var bare []string
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, fmt.Errorf("config: %s", strings.ReplaceAll(err.Error(), ": -", ": --"))
		}
		// flag stops at the first bare argument, or after "--".
		args = fs.Args()
		if len(args) > 0 {
			bare, args = append(bare, args[0]), args[1:]
		}
	}
	nets, err := parsePairs(bare)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	for _, n := range nets {
		a.values = append(a.values, value{"allow", n.String(), "arguments"})
	}
	return a, nil
}

// Allows tells whether a connection from addr may be answered at all: any where no network is named, and loopback always. It
// is the second fence; the first is the certificate.
func (c *Config) Allows(addr netip.Addr) bool {
	addr = addr.Unmap()
	if len(c.Allow) == 0 || addr.IsLoopback() {
		return true
	}
	for _, n := range c.Allow {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
