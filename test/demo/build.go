package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mexec/test/hosts"
	"mexec/test/same"
)

// workshop is where one project is built again and again, always in the directory work: paths end up in objects.
type workshop struct {
	project
	hosts *hosts.Hosts
	base  string
}

func (b *workshop) path(name string) string {
	return filepath.Join(b.base, "build", filepath.Base(b.tree), name)
}

// show builds the project both ways, prints what came of it and returns how many files differ without excuse.
func (b *workshop) show(ctx context.Context) (differ int, err error) {
	fmt.Printf("\n%s\n", b.name)
	first := b.hosts.All[0]
	jobs := "-j" + strconv.Itoa(b.hosts.Slots())

	local, _, err := b.build(ctx, "local", fmt.Sprintf("make %s on %s alone", jobs, first.Name), "make", jobs)
	if err != nil {
		return 0, err
	}
	spread, counts, err := b.build(ctx, "spread", fmt.Sprintf("mpmake over %d hosts", len(b.hosts.All)), "mpmake")
	if err != nil {
		return 0, err
	}
	fmt.Printf("  %-28s%8.2f\n", "times as fast", local.Seconds()/spread.Seconds())
	b.table(counts)

	equal, different, err := same.Compare(b.path("local"), b.path("spread"))
	if err != nil {
		return 0, err
	}
	if len(different) > 0 {
		fmt.Println("  some files differ; does a local build make them the same twice?")
		if _, _, err := b.build(ctx, "again", "make once more", "make", jobs); err != nil {
			return 0, err
		}
		_, unsteady, err := same.Compare(b.path("local"), b.path("again"))
		if err != nil {
			return 0, err
		}
		for _, name := range different {
			if slices.Contains(unsteady, name) {
				fmt.Printf("  %s: differs, and differs between two local builds too\n", name)
			} else {
				fmt.Printf("  %s: DIFFERS\n", name)
				differ++
			}
		}
	}
	if equal+len(different) == 0 {
		return differ, fmt.Errorf("%s: neither build made an object, archive or executable", b.name)
	}
	fmt.Printf("  %d of %d objects, archives and executables are identical bit for bit\n", equal, equal+len(different))
	return differ, nil
}

// counted is the line in which mpmake says how many commands ran where. Others may follow.
var counted = regexp.MustCompile(`(?m)^mpmake: \d+ commands? in .*$`)

// build runs one build in a fresh copy and moves the result aside as kind. counts is what mpmake has said of it, if it was that.
func (b *workshop) build(ctx context.Context, kind, title string, argv ...string) (took time.Duration, counts string, err error) {
	work := b.path("work")
	if err := errors.Join(os.RemoveAll(work), os.RemoveAll(b.path(kind)), os.MkdirAll(filepath.Dir(work), 0o755)); err != nil {
		return 0, "", err
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", b.tree, work).CombinedOutput(); err != nil {
		return 0, "", fmt.Errorf("copy %s: %w: %s", b.tree, err, out)
	}
	log, err := os.Create(b.path(kind + ".log"))
	if err != nil {
		return 0, "", err
	}
	defer log.Close()

	argv = append(argv, b.args...)
	cmd := b.hosts.All[0].CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = work
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	// What a build usually bakes in of its time and its repository.
	cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH=1000000000", "GIT_CEILING_DIRECTORIES="+filepath.Dir(work))
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = log, io.MultiWriter(log, &stderr)

	stop := watch(title)
	start := time.Now()
	err = cmd.Run()
	took = time.Since(start)
	stop(took)
	if err != nil {
		return 0, "", fmt.Errorf("%s: %w; see %s", strings.Join(argv, " "), err, log.Name())
	}
	return took, string(counted.Find(stderr.Bytes())), os.Rename(work, b.path(kind))
}

// watch shows the seconds go by on a terminal; the function it returns ends the line.
func watch(title string) func(time.Duration) {
	line := func(d time.Duration) { fmt.Printf("\r  %-28s%8.1f s", title, d.Seconds()) }
	done, gone := make(chan struct{}), make(chan struct{})
	start := time.Now()
	info, err := os.Stdout.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	go func() {
		defer close(gone)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for terminal {
			select {
			case <-done:
				return
			case <-tick.C:
				line(time.Since(start))
			}
		}
	}()
	return func(took time.Duration) {
		close(done)
		<-gone
		if terminal {
			line(took)
			fmt.Println()
		} else {
			fmt.Printf("  %-28s%8.1f s\n", title, took.Seconds())
		}
	}
}

// table shows how many commands ran on each node, out of mpmake's own words.
func (b *workshop) table(said string) {
	names, counts := fmt.Sprintf("  %-28s", "commands on"), fmt.Sprintf("  %-28s", "")
	for _, h := range b.hosts.All {
		n := "0"
		if m := regexp.MustCompile(`\b` + h.Name + ` (\d+)`).FindStringSubmatch(said); m != nil {
			n = m[1]
		}
		names += fmt.Sprintf("%8s", h.Name)
		counts += fmt.Sprintf("%8s", n)
	}
	fmt.Println(names + "\n" + counts)
}
