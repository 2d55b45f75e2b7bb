// Package conformance_test runs internal/exectest over real hosts: by the kernel, by each way that mexec has, and compares.
//
//	go test ./test/conformance -run Conformance          all tests over all runners, in short form with -short
//	go test ./test/conformance -run Conformance -write   and docs/FIDELITY.md is written anew
package conformance_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mexec/internal/exectest"
	"mexec/test/hosts"
)

var write = flag.Bool("write", false, "write docs/FIDELITY.md")

const fidelity = "../../docs/FIDELITY.md"

// pair is the two hosts that all tests here share.
var pair *hosts.Hosts

func TestMain(m *testing.M) {
	flag.Parse()
	code := func() int {
		if os.Geteuid() != 0 {
			return m.Run()
		}
		var err error
		pair, err = hosts.Start(context.Background(), hosts.Config{N: 2, Slots: 8})
		if err == nil {
			defer pair.Close()
			err = pair.WaitUp(context.Background(), 2)
		}
		if err == nil {
			err = exec.Command("make", "-s", "-C", "../../libmexec", "conformance").Run()
		}
		if err != nil {
			fmt.Println(err)
			return 1
		}
		return m.Run()
	}()
	os.Exit(code)
}

// runners are the columns of the table, the reference first.
func runners(t *testing.T, report *exectest.Report) []exectest.Runner {
	t.Helper()
	if pair == nil {
		t.Skip("hosts with a network of their own need root")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	programs := filepath.Join(root, "tmp/libmexec")
	dir := filepath.Join(pair.Dir, "work")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	node1, node2 := pair.All[0], pair.All[1]
	stub, launch := filepath.Join(root, "bin/mexec"), filepath.Join(programs, "launch_make")
	base := exectest.Runner{
		Command: node1.Command, Home: node1.Name, Node: node1.Name, Launch: []string{launch}, Kernel: []string{launch},
		Dir: dir, Probe: place(t, filepath.Join(programs, "probe"), dir), Memory: func() int64 { return resident(node1.Daemon(), node2.Daemon()) }, Report: report,
	}
	kernel, here, there, preload := base, base, base, base
	kernel.Name, kernel.Does = "kernel", "the kernel's execve, once more: that a test says the same twice"
	here.Name, here.Does = "here", "`mexec -n` this node: the daemon is asked, and the stub executes the program in place"
	here.Stub = []string{stub, "-n", "1"}
	there.Name, there.Does, there.Node = "there", "`mexec -n` another node, over the real link", node2.Name
	there.Stub = []string{stub, "-n", "2"}
	preload.Name, preload.Does, preload.Node = "preload", "the caller's own functions, with the preload shim before them, on another node", node2.Name
	preload.Launch = []string{"env", "LD_PRELOAD=" + filepath.Join(root, "bin/libmexec-preload.so"), "MEXEC_DRIVER=conformance:" + stub + ":", launch}
	preload.Env = []string{"NODES=2"}
	library := base
	library.Name, library.Does, library.Node = "library", "a program with libmexec's functions in the place of libc's, on another node", node2.Name
	library.Launch = []string{filepath.Join(programs, "launch_library")}
	library.Env = []string{"NODES=2", "MEXEC_STUB=" + stub}
	return []exectest.Runner{kernel, here, there, preload, library}
}

// place copies the program to where links to it can be made.
func place(t *testing.T, from, dir string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "probe")
	if err := os.WriteFile(to, b, 0o755); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	return to
}

func resident(pids ...int) (bytes int64) {
	for _, pid := range pids {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, rest, _ := strings.Cut(string(status), "\nVmRSS:")
		var kb int64
		fmt.Sscan(rest, &kb)
		bytes += kb << 10
	}
	return bytes
}

func TestConformance(t *testing.T) {
	var report exectest.Report
	all := runners(t, &report)
	names := make([]string, 0, len(all))
	for _, r := range all {
		names = append(names, r.Name)
		t.Run(r.Name, func(t *testing.T) {
			for _, name := range exectest.Names() {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					r.Run(t, name)
				})
			}
		})
	}
	if flag.Lookup("test.run").Value.String() == "Conformance" || flag.Lookup("test.run").Value.String() == "" { // and not a part of it
		for _, s := range report.Stale(names) {
			t.Error(s)
		}
		text := exectest.Fidelity(&report, all)
		committed, err := os.ReadFile(fidelity)
		switch {
		case *write && !t.Failed():
			err = os.WriteFile(fidelity, []byte(text), 0o644)
		case err == nil && string(committed) != text:
			t.Error("docs/FIDELITY.md is not what these tests have found; make conformance writes it")
		}
		if err != nil {
			t.Error(err)
		}
	}
	if testing.Verbose() {
		for _, row := range report.Table(names) {
			fmt.Printf("%-44s", row[0])
			for _, mark := range row[1:] {
				fmt.Printf(" %-9s", mark)
			}
			fmt.Println()
		}
	}
}
