package monitor_test

import (
	"testing"
	"time"

	"mexec/internal/monitor"
	"mexec/internal/monitortest"
)

func TestAKindIsAProgramAndTheNamesOfItsOptions(t *testing.T) {
	for command, want := range map[string]string{
		"cc -O2 -c a.c -o a.o":               "cc -O -c -o",
		"/usr/bin/cc -Ia -Ib -O3 -c b.c":     "cc -I -O -c",
		"sh -c cd sub && ld -o prog x.o":     "ld -o",
		"tool --mode=fast --level=3 - --":    "tool --mode --level --",
		"":                                   "?",
		"x -a -b -c -d -e -f -g -h -i -j -k": "x -a -b -c -d -e -f -g -h",
		"cc -\xff -c":                        "cc -\ufffd -c",
	} {
		if got := monitor.Kind(command); got != want {
			t.Errorf("%q is of kind %q, want %q", command, got, want)
		}
	}
}

func TestAJobLineHasWhatACommandTookWhereverItRan(t *testing.T) {
	m := monitor.New(monitortest.Began, false)
	events, err := monitortest.Events(`
0s cluster room=4 node1*:2 node2:2
0.1s received 1 cc -c a.c
0.1s received 2 cc -c b.c
0.2s starts 1 node2 free
0.2s starts 2 node1 here
1.2s ended 1 user=0.9s rss=100
2.2s ended 2
2.3s reaped pid=1002 user=1.5s rss=200
2.3s kept pid=7 why=policy git
2.4s received 3 never
`)
	if err != nil {
		t.Fatal(err)
	}
	m.Fold(events)
	lines := m.JobLines("b")
	if len(lines) != 2 || lines[0].At != 100*time.Millisecond || lines[0].Wall != time.Second || lines[0].CPU != 900*time.Millisecond || lines[0].Memory != 100<<10 ||
		lines[1].Node != "node1" || lines[1].CPU != 1500*time.Millisecond || lines[1].Memory != 200<<10 || lines[1].Build != "b" {
		t.Errorf("%+v", lines)
	}
}
