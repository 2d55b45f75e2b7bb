package drive

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"mexec/internal/policy"
)

func TestTheOptionIsStrongerThanTheVariable(t *testing.T) {
	for _, c := range []struct {
		args, rest, variable, mode string
	}{
		{"-k all", "-k all", "", "safe"},
		{"-k --rerun=never all", "-k all", "always", "never"},
		{"-k all", "-k all", "always", "always"},
		{"--rerun=never --rerun=always", "", "", "always"},
		{"-- --rerun=never", "-- --rerun=never", "", "safe"},
	} {
		o, rest, err := makeOptions(strings.Fields(c.args), []string{rerunVariable + "=" + c.variable})
		mode, _ := rerun{word: o.rerun}.mode()
		if err != nil || strings.Join(rest, " ") != c.rest || mode.String() != c.mode {
			t.Errorf("%+v: %q, %v, %v", c, rest, mode, err)
		}
	}
	for _, bad := range [][2]string{{"--rerun=", ""}, {"--rerun=x", ""}, {"all", "x"}} {
		if _, _, err := makeOptions([]string{bad[0]}, []string{rerunVariable + "=" + bad[1]}); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestTheToolIsToldTheModeThatWasSaid(t *testing.T) {
	rules := policy.Policy{{Verdict: policy.Repeats, Pattern: "protoc"}, {Verdict: policy.Repeats, Pattern: "moc*"}}
	for _, c := range []struct {
		rerun
		want []string
	}{
		{rerun{}, []string{"A=1", "MEXEC_RERUN=safe"}},
		{rerun{word: "never"}, []string{"A=1", "MEXEC_RERUN=never"}},
		{rerun{rules: rules}, []string{"A=1", "MEXEC_RERUN=safe", "MEXEC_REPEAT=protoc moc*"}},
	} {
		cmd := &exec.Cmd{Env: []string{"A=1", "MEXEC_REPEAT=of a build above", "MEXEC_RERUN=safe"}}
		if err := c.tell(cmd); err != nil || !slices.Equal(cmd.Env, c.want) {
			t.Errorf("%+v: %q, %v", c.rerun, cmd.Env, err)
		}
	}
}
