package ctl

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mexec"
)

func drained(guests int, why string) mexec.Drain {
	return mexec.Drain{Draining: true, Guests: guests, Why: why, Since: time.Unix(1, 0)}
}

func TestDrainSaysWhatItAskedForAndWhatIsLeft(t *testing.T) {
	no := errors.New("drain: only root may do that, not uid 7")
	for _, c := range []struct {
		args    []string
		replies []any
		code    int
		asked   string
		out     string
		errs    string
	}{
		{[]string{"drain"}, []any{drained(0, "")}, 0, "drain", "draining: no command of another node runs here", ""},
		{[]string{"drain", "--why", "a new disk"}, []any{drained(3, "a new disk")}, 0, "drain a new disk",
			"draining (a new disk): 3 commands of other nodes still here", ""},
		{[]string{"drain", "--wait"}, []any{drained(2, ""), drained(2, ""), drained(1, ""), drained(0, "")}, 0, "drain guests guests guests",
			"draining: 2 commands of other nodes still here\ndraining: 1 command of other nodes still here\ndraining: no command of another node runs here", ""},
		{[]string{"drain", "--wait"}, []any{drained(1, ""), mexec.Drain{Guests: 1}}, 1, "drain guests",
			"draining: 1 command of other nodes still here", "drain: somebody has ended it: this node takes commands of others again"},
		{[]string{"drain", "--wait", "--timeout", "50ms"}, []any{drained(1, "")}, 1, "drain",
			"draining: 1 command of other nodes still here", "drain: not over after 50ms: 1 command of other nodes still here"},
		{[]string{"undrain"}, []any{mexec.Drain{Guests: 1}}, 0, "undrain", "takes commands of other nodes", ""},
		{[]string{"drain"}, []any{no}, 1, "drain", "", no.Error()},
		{[]string{"drain", "alpha"}, []any{cluster, drained(0, "")}, 0, "nodes drain", "draining: no command of another node runs here", ""},
		{[]string{"undrain", "1"}, []any{cluster, mexec.Drain{}}, 0, "nodes undrain", "takes commands of other nodes", ""},
		{[]string{"drain", "gamma"}, []any{cluster}, 1, "nodes", "",
			"drain: gamma is not this node, and only its own daemon can do that: run this there: mexecctl drain"},
		{[]string{"undrain", "1-3"}, []any{cluster}, 1, "nodes", "",
			"undrain: beta-with-a-long-name, gamma are not this node, and only their own daemons can do that: run this on each: mexecctl undrain"},
		{[]string{"drain", "omega"}, []any{cluster}, 1, "nodes", "", "drain: there is no node omega"},
	} {
		socket, asked := answers(t, c.replies...)
		code, out, errs := mexecctl(t, append(c.args, "--socket", socket)...)
		want := ""
		if c.errs != "" {
			want = "mexecctl: " + c.errs + "\n"
		}
		if code != c.code || strings.TrimSpace(out) != c.out || errs != want || strings.Join(asked(), " ") != c.asked {
			t.Errorf("%q: %d, asked %q, said\n%s%s", c.args, code, asked(), out, errs)
		}
	}
}
