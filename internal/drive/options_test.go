package drive

import (
	"slices"
	"strings"
	"testing"
)

func TestMprunsOptionsAreThoseInFrontOfTheTool(t *testing.T) {
	for _, c := range []struct {
		args, environ string
		want          options
		tool          string
		says          string
	}{
		{"ninja --quiet", "", options{}, "ninja --quiet", ""},
		{"--quiet --report r.html --trace=t.json ninja -j3", "", options{quiet: true, report: "r.html", trace: "t.json"}, "ninja -j3", ""},
		{"--explain -- -x", "", options{explain: true}, "-x", ""},
		{"--report=a=b x", "", options{report: "a=b"}, "x", ""},
		{"x", "MEXEC_REPORT=r MEXEC_TRACE=t MEXEC_QUIET=1", options{quiet: true, report: "r", trace: "t"}, "x", ""},
		{"--report=mine x", "MEXEC_REPORT=r MEXEC_QUIET=0", options{report: "mine"}, "x", ""},
		{"--report", "", options{}, "", "--report needs a FILE"},
		{"--report= x", "", options{}, "", "--report needs a FILE"},
		{"--quiet=1 x", "", options{}, "", "takes no value"},
		{"-q x", "", options{}, "", "no such option"},
	} {
		o, tool, err := runOptions(strings.Fields(c.args), strings.Fields(c.environ))
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", c.args, err)
			}
		} else if err != nil || o != c.want || strings.Join(tool, " ") != c.tool {
			t.Errorf("%s: %+v, %q, %v", c.args, o, tool, err)
		}
	}
}

// make has options called --quiet and --trace.
func TestMpmakeTakesItsOptionsFromAmongMakes(t *testing.T) {
	for _, c := range []struct {
		args string
		want options
		rest string
	}{
		{"all -j3", options{}, "all -j3"},
		{"all --report=r.html -j3 --trace=t.json", options{report: "r.html", trace: "t.json"}, "all -j3"},
		{"--trace all", options{}, "--trace all"},
		{"--quiet all", options{quiet: true}, "--quiet all"},
		{"-s all", options{}, "-s all"},
		{"--explain --help --version", options{}, "--explain --help --version"},
		{"-f --report=x", options{}, "-f --report=x"},
		{"-kf --report=x", options{}, "-kf --report=x"},
		{"-fk --report=x", options{report: "x"}, "-fk"},
		{"-j --report=x", options{report: "x"}, "-j"},
		{"-O --report=x", options{report: "x"}, "-O"},
		{"--file --report=x", options{}, "--file --report=x"},
		{"--file=x --report=x", options{report: "x"}, "--file=x"},
		{"-- --report=x", options{}, "-- --report=x"},
	} {
		o, rest, err := makeOptions(strings.Fields(c.args), nil)
		if err != nil || o != c.want || !slices.Equal(rest, strings.Fields(c.rest)) {
			t.Errorf("%s: %+v, %q, %v", c.args, o, rest, err)
		}
	}
	if _, _, err := makeOptions([]string{"--report="}, nil); err == nil {
		t.Error("a report to nowhere")
	}
	// As mprun takes it: make would have shown its whole usage, where there is no --report.
	if _, _, err := makeOptions([]string{"all", "--report", "r.html"}, nil); err == nil || err.Error() != "--report needs a FILE: --report=FILE" {
		t.Errorf("a value behind a blank: %v", err)
	}
}
