package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mexec/bench/builds/bound"
)

// A make that has made its own makefile version, and whose goal has three rules: two objects and what is linked of them, a nested make, and a test.
const printed = `# Make data base, printed on Thu
MAKEFILE_LIST := Makefile version
CURDIR := /w
.DEFAULT_GOAL := all
# Files

# Not a target:
.c.o:

all:: lib
#  Phony target

all::
#  recipe to execute (from 'Makefile', line 7):
	$(MAKE) -C sub

all:: test

lib: objects | dir

objects: a.o b.o

a.o: a.c
a.o: FLAGS = -Dlib -Dtest

b.o: b.c

test: lib

# files hash-table stats:
# Finished Make data base on Thu
# Make data base, printed on Thu
CURDIR := /w/sub
.DEFAULT_GOAL := x
# Files
x: y

y:
# Finished Make data base on Thu
`

// id, parent, make, began, ended, cpu, dir, target
var noted = []string{
	"1 0 9 1.0 1.5 0.5 /w version",
	"2 0 9 2.0 3.0 1.0 /w a.o",
	"3 0 9 2.0 4.0 2.0 /w b.o",
	"4 0 9 4.0 5.0 1.0 /w lib",
	"7 6 8 6.0 7.0 1.0 /w/sub y",
	"8 6 8 7.0 8.0 1.0 /w/sub x",
	"6 0 9 5.0 8.0 2.5 /w all",
	"9 0 9 8.0 9.0 1.0 /w test",
}

func TestTheGraphIsWhatMakeObeys(t *testing.T) {
	text := "0.5\n"
	for _, line := range noted {
		text += strings.ReplaceAll(line, " ", "\t") + "\n"
	}
	began, rows, err := parseRecord(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		serial bool
		hosts  int
		want   time.Duration
	}{
		// 0.5 s until the first recipe, 0.5 s for that, 0.5 s until the next; then objects and lib, the nested make (0.5 s of its own) with two recipes, the test
		{true, 1, 1500*time.Millisecond + 4*time.Second + 2500*time.Millisecond + time.Second},
		{true, 8, 1500*time.Millisecond + 3*time.Second + 2500*time.Millisecond + time.Second},
		{false, 8, 1500*time.Millisecond + 3*time.Second + time.Second},
	} {
		g := graph{rows: rows, databases: parseDatabases(printed), serial: c.serial}
		g.build(began)
		if at := cycle(g.tasks); at >= 0 {
			t.Fatalf("%s waits for itself", g.tasks[at].Name)
		}
		hosts := make([]bound.Host, c.hosts)
		for i := range hosts {
			hosts[i] = bound.Host{Speed: 1, Slots: 1}
		}
		if got := bound.Schedule(g.tasks, hosts); (got - c.want).Abs() > time.Millisecond {
			t.Errorf("serial %v, %d hosts: %v, want %v\n%v", c.serial, c.hosts, got, c.want, fmt.Sprintf("%v", g.tasks))
		}
	}
}
