package cluster

import (
	"net/netip"
	"testing"
)

func TestASeedIsANameOrAnAddressWithOrWithoutAPort(t *testing.T) {
	for seed, want := range map[string]struct {
		host string
		port int
	}{
		"node7":              {"node7", 7947},
		"node7.lab.example.": {"node7.lab.example.", 7947},
		" node7:80\n":        {"node7", 80},
		"10.1.2.3":           {"10.1.2.3", 7947},
		"10.1.2.3:80":        {"10.1.2.3", 80},
		"fd00::7":            {"fd00::7", 7947},
		"[fd00::7]":          {"fd00::7", 7947},
		"[fd00::7]:80":       {"fd00::7", 80},
	} {
		if host, port, err := splitSeed(seed, Port); host != want.host || port != want.port || err != nil {
			t.Errorf("%q: got %q, %d, %v", seed, host, port, err)
		}
	}
	for _, bad := range []string{"", ":80", "a:", "a:b", "a:0", "a:65536", "a:-1", "a/b", "a b", "[fd00::7", "a:1:2"} {
		if host, port, err := splitSeed(bad, Port); err == nil {
			t.Errorf("%q: got %q, %d", bad, host, port)
		}
	}
}

func TestTheAdvertisedAddressIsTheMostExplicitOne(t *testing.T) {
	for _, tt := range []struct{ advertise, bind, link, want string }{
		{"10.1.1.1:99", "10.2.2.2:7", "10.3.3.3:8", "10.1.1.1:99"},
		{"10.1.1.1", "10.2.2.2:7", "10.3.3.3:8", "10.1.1.1:7"},
		{"", "10.2.2.2:7", "10.3.3.3:8", "10.2.2.2:7"},
		{"", ":7", "10.3.3.3:8", "10.3.3.3:7"},
		{"", "0.0.0.0:7", "10.3.3.3:8", "10.3.3.3:7"},
		{"", "[::]:7", "[fd00::3]:8", "[fd00::3]:7"},
		{"", "0.0.0.0:7", "localhost:8", "127.0.0.1:7"},
	} {
		got, err := advertised(t.Context(), tt.advertise, tt.bind, tt.link, 7)
		if err != nil || got.String() != tt.want && !(tt.link == "localhost:8" && got.Addr().IsLoopback()) {
			t.Errorf("%+v: got %v, %v", tt, got, err)
		}
	}
	got, err := advertised(t.Context(), "", ":7", ":8", 7)
	if err != nil || !got.Addr().IsValid() || got.Addr().IsUnspecified() || got.Addr() == (netip.Addr{}) {
		t.Errorf("found out: got %v, %v", got, err)
	}
}
