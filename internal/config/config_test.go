package config

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func environ(m map[string]string) func(string) string {
	return func(k string) string { return m[k] }
}

// write makes a configuration file and gives its name.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mexecd.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsDependOnlyOnPrivilege(t *testing.T) {
	empty := write(t, "")
	user := map[string]string{"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/7"}
	for _, c := range []struct {
		root          bool
		env           map[string]string
		socket, state string
		hidden        bool
	}{
		{true, user, "/run/mexec/mexecd.sock", "/var/lib/mexec", false},
		{false, user, "/run/user/7/mexec/mexecd.sock", "/home/u/.local/state/mexec", false},
		{false, map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "/s"}, "/s/mexec/mexecd.sock", "/s/mexec", true},
	} {
		got, err := Load([]string{"--config", empty}, environ(c.env), c.root)
		if err != nil {
			t.Fatal(err)
		}
		if got.Socket != c.socket || got.Hidden != c.hidden || got.State != c.state || got.Listen != ":7733" || got.Gossip != ":7734" || got.Slots != 0 ||
			got.KeepAlive != 5*time.Second || got.MaxSkew != time.Second || got.RootJobs || got.Debug || got.LogLevel != "info" ||
			got.Allow != nil || got.Join != nil || got.Advertise != "" || got.Cgroup != "" {
			t.Errorf("root %v: %+v", c.root, got)
		}
	}
	if _, err := Load([]string{"--config", empty}, environ(nil), false); err == nil || !strings.HasPrefix(err.Error(), "config --state: ") {
		t.Errorf("nowhere to keep state: %v", err)
	}
}

func TestTheLaterSourceIsTheStronger(t *testing.T) {
	file := write(t, "slots = 2\nkeepalive = \"2s\"\nmax-skew = '2s'\nallow = ['10.0.0.0/8', '11.0.0.0/8']\n")
	c, err := Load(
		[]string{"--slots=4", "--allow", "12.0.0.0/8", "--allow", "13.0.0.0/8", "14.1.2.3", "255.0.0.0", "--debug"},
		environ(map[string]string{"MEXECD_CONFIG": file, "MEXECD_SLOTS": "3", "MEXECD_KEEPALIVE": "3s"}), true)
	if err != nil {
		t.Fatal(err)
	}
	if c.Slots != 4 || c.KeepAlive != 3*time.Second || c.MaxSkew != 2*time.Second || !c.Debug || c.File != file {
		t.Errorf("%+v", c)
	}
	var allow []string
	for _, n := range c.Allow {
		allow = append(allow, n.String())
	}
	if got := strings.Join(allow, " "); got != "12.0.0.0/8 13.0.0.0/8 14.0.0.0/8" {
		t.Errorf("allow: %s", got)
	}
	want := map[string]string{"slots": "--slots", "keepalive": "MEXECD_KEEPALIVE", "max-skew": file + ":3", "listen": "default",
		"allow": "arguments", "config": "MEXECD_CONFIG"}
	for name, from := range want {
		if c.from[name] != from {
			t.Errorf("%s is from %q, want %q", name, c.from[name], from)
		}
	}
}

func TestAnEmptyListOverridesToo(t *testing.T) {
	c, err := Load([]string{"--config", write(t, "allow = []\njoin = ['h:1']")}, environ(nil), true)
	if err != nil || len(c.Allow) != 0 || len(c.Join) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestEveryErrorIsOneLineThatNamesThePlace(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"\n\nkeepalive = '5'", `:3: keepalive: "5": not a time such as 500ms or 5s`},
		{"keepalive = 5", ":1: keepalive: must be a string"},
		{"keepalive = '1us'", `:1: keepalive: "1us": shorter than 100ms`},
		{"slots = -1", `:1: slots: "-1": not a number from 0 to 65536`},
		{"weights = ['root=2', '1004=0.5']", ""},
		{"weights = ['root']", `:1: weights: "root": not USER=WEIGHT, such as alice=3, of a weight from 0.01 to 100`},
		{"weights = ['root=0']", `:1: weights: "root=0": not USER=WEIGHT`},
		{"weights = ['nobody-of-that-name=2']", `:1: weights: "nobody-of-that-name=2": no user nobody-of-that-name in /etc/passwd: give the number`},
		{"memory = '2'", `:1: memory: "2": not an amount of memory such as 6GiB or 900MiB, at least 1MiB`},
		{"memory = '-2GiB'", `:1: memory: "-2GiB": not an`},
		{"memory = 'NaNGiB'", `:1: memory: "NaNGiB": not an`},
		{"memory = '1.5 GiB'", ""},
		{"slots = '2'", ":1: slots: must be a number"},
		{"debug = 'yes'", ":1: debug: must be true or false"},
		{"# slot\nslot = 2", `:2: "slot": unknown`},
		{"config = '/x'", `:1: "config": unknown`},
		{"\n[table]\nslots = 2", `:2: "table": unknown`},
		{"a.b = 2", `:1: "a": unknown`},
		{"listen = '7733'", `:1: listen: "7733": not HOST:PORT or :PORT`},
		{"listen = ':x'", `:1: listen: ":x": port "x" is none`},
		{"advertise = 'h:1'", `:1: advertise: "h:1": a host or an IP address, without a port`},
		{"state = 'here'", `:1: state: "here": not an absolute path`},
		{"log-level = 'loud'", `:1: log-level: "loud": not debug, info, warn or error`},
		{"allow = '10.0.0.0/8'\nslots = 2", ""},
		{"allow = [1]", ":1: allow: 1: not a string"},
		{"allow = ['10.0.0.0']", `:1: allow: "10.0.0.0": not ADDRESS/BITS or ADDRESS/MASK`},
		{"join = ['h']", `:1: join: "h": not HOST:PORT`},
		{"slots = 2\nslots = 3", ":2: "},
		{"slots = ", ":1: "},
		{"\x00", ":1: "},
	} {
		path := write(t, c.file)
		_, err := Load([]string{"--config", path}, environ(nil), true)
		if c.want == "" {
			if err != nil {
				t.Errorf("%q: %v", c.file, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), "config "+path+c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", c.file, err, c.want)
		}
	}
	empty, long := write(t, ""), strings.Repeat("x", 100)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--slots", "x"}, `config --slots: "x": not a number from 0 to 65536`},
		{[]string{"--state", "/" + long}, `config --socket: "/` + long + `/mexecd.sock": longer than 107 bytes, which is all that the address of a socket has`},
		{[]string{"--bogus"}, "config: flag provided but not defined: --bogus"},
		{[]string{"--slots"}, "config: flag needs an argument: --slots"},
		{[]string{"10.1.2.0", "255.255.255.0", "10.1.3.0"}, "config: 10.1.3.0: an address without its mask"},
		{[]string{"10.1.2.0", "255.255.255"}, `config: "255.255.255": not a mask for 10.1.2.0`},
		{[]string{"10.1.2.0", "ffff::"}, `config: "ffff::": not a mask for 10.1.2.0`},
		{[]string{"start"}, `config: "start": not an IP address`},
		{[]string{"start", "now"}, `config: "start": not an IP address`},
		{[]string{"10.1.2.0/33"}, `config: "10.1.2.0/33": not a network`},
		{[]string{"::ffff:10.1.2.0/120"}, `config: "::ffff:10.1.2.0/120": not a network`},
	} {
		if _, err := Load(append([]string{"--config", empty}, c.args...), environ(map[string]string{"HOME": "/h"}), false); err == nil || err.Error() != c.want {
			t.Errorf("%q: %v, want %s", c.args, err, c.want)
		}
	}
	if _, err := Load([]string{"--config", empty}, environ(map[string]string{"MEXECD_DEBUG": "si"}), true); err == nil ||
		err.Error() != `config MEXECD_DEBUG: "si": not true or false` {
		t.Error(err)
	}
	if _, err := Load([]string{"--config", "/nonexistent/x"}, environ(nil), true); err == nil ||
		err.Error() != "config /nonexistent/x: no such file or directory" {
		t.Error(err)
	}
	if _, err := Load([]string{"--help"}, environ(nil), true); !errors.Is(err, flag.ErrHelp) {
		t.Error(err)
	}
}

func TestAllowedAreTheNetworksAndLoopback(t *testing.T) {
	c, err := Load([]string{"--config", write(t, ""), "101.102.103.1", "255.255.255.0", "104.105.106.1", "255.255.0.0",
		"10.0.7.0", "255.0.255.0", "fd00::/8"}, environ(nil), true)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{
		"101.102.103.99":        true,
		"101.102.104.1":         false,
		"104.105.1.2":           true,
		"104.106.1.2":           false,
		"10.9.7.3":              true, // the mask has a hole, as the first mexecd allowed
		"10.9.8.3":              false,
		"127.0.0.1":             true,
		"127.3.2.1":             true,
		"::1":                   true,
		"fd12::1":               true,
		"fe80::1":               false,
		"::ffff:101.102.103.99": true,
		"::ffff:1.2.3.4":        false,
	} {
		if got := c.Allows(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if got := c.Allow[2].String(); got != "10.0.7.0/255.0.255.0" {
		t.Error(got)
	}
	open := &Config{}
	if !open.Allows(netip.MustParseAddr("8.8.8.8")) {
		t.Error("no list, but refused")
	}
}

func TestANetworkAgreesWithTheStandardLibrarys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "network")))
		p := netip.PrefixFrom(a, rapid.IntRange(0, 32).Draw(t, "bits"))
		b := a.As4()
		b[rapid.IntRange(0, 3).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		n, err := ParseNet(p.String())
		if err != nil || n.Contains(netip.AddrFrom4(b)) != p.Contains(netip.AddrFrom4(b)) || n.String() != p.Masked().String() {
			t.Errorf("%v: %v, %v", p, n, err)
		}
	})
}

func TestWhatIsPrintedLoadsAgain(t *testing.T) {
	file := write(t, "slots = 2 # two\nmemory = '1.5GiB'\nallow = ['10.0.0.0/8', '1.2.3.4/255.0.255.0']\ncgroup = \"a\\\"b\"\n")
	c, err := Load([]string{"--config", file, "--max-skew", "250ms", "--check-config"}, environ(nil), true)
	if err != nil || !c.CheckConfig {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	again, err := Load([]string{"--config", write(t, b.String())}, environ(nil), true)
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	again.from, again.File, again.CheckConfig = c.from, c.File, true
	if !reflect.DeepEqual(c, again) {
		t.Errorf("%+v became\n%+v by\n%s", c, again, b.String())
	}
	for _, want := range []string{"slots = 2", `memory = "1536MiB"`, "# " + file + ":1", "# --max-skew", "# default"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestEverySettingIsInTheUsage(t *testing.T) {
	for _, s := range settings {
		if !strings.Contains(Usage(), "  --"+s.name) || !strings.Contains(Table(), "`"+s.variable()+"`") {
			t.Errorf("%s is in no table", s.name)
		}
	}
}

func TestTheREADMEHasTheTableOfSettings(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no README.md yet")
	}
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "<!-- settings -->\n")
	if len(parts) != 3 {
		t.Fatalf("README.md: %d markers <!-- settings -->, not 2", len(parts)-1)
	}
	if got := strings.TrimSpace(parts[1]); got != strings.TrimSpace(Table()) {
		t.Errorf("README.md has another table of settings. It must be\n%s", Table())
	}
}

func FuzzFile(f *testing.F) {
	f.Add("slots = 2\nallow = ['10.0.0.0/8']")
	f.Add("[x]\na=1")
	f.Fuzz(func(t *testing.T, data string) {
		layer, err := parseFile("f", data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "config f:") {
				t.Errorf("not one clear line: %q", err)
			}
			return
		}
		c := &Config{from: make(map[string]string)}
		if err := c.apply(layer); err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("not one clear line: %q", err)
		}
	})
}
