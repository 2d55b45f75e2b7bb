package drive

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"mexec"
	"mexec/internal/monitor"
	"mexec/internal/screen"
)

// view is what a person sees of a build: on the screen while it runs, in some last lines, and in files.
type view struct {
	build         *build
	report, trace *os.File // nil: not asked for
	past          string   // file of what the last such build took
	expect        monitor.Expect
	screen        *screen.Screen // nil: nothing is shown

	mu    sync.Mutex
	model *monitor.Model // by mu
}

var _ sink = (*view)(nil)

// open gets ready. What can't be written is an error now, and not when the build is over.
func (b *build) open(tool string) (*view, error) {
	v := &view{build: b}
	for _, f := range []struct {
		path string
		file **os.File
	}{{b.options.report, &v.report}, {b.options.trace, &v.trace}} {
		if f.path == "" {
			continue
		}
		// Not cut short yet: a build that can't be started leaves the report of the last one.
		file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE, 0o666)
		if err != nil {
			v.close()
			return nil, err
		}
		*f.file = file
	}
	dir, _ := os.Getwd()
	v.past = pastFile(b.getenv, b.name, tool, b.args, dir)
	v.expect = remember(v.past)
	return v, nil
}

// begin begins to show.
func (v *view) begin(began time.Time) {
	v.model = monitor.New(began, v.report != nil || v.trace != nil)
	file, ok := v.build.stderr.(*os.File)
	if v.build.options.quiet || !ok {
		return
	}
	utf8, color := screen.Shows(v.build.getenv)
	style := monitor.Style{ASCII: !utf8, Color: color}
	v.screen = screen.Open(screen.Config{
		File: file, Getenv: v.build.getenv,
		Lines: func(width, height int, now time.Time) []string {
			v.mu.Lock()
			defer v.mu.Unlock()
			return v.model.Lines(v.build.name, width, height, style, v.expect, now)
		},
		Line: func(now time.Time) string {
			v.mu.Lock()
			defer v.mu.Unlock()
			return v.model.Progress(v.build.name, now)
		},
	})
}

func (v *view) Events(events []mexec.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.model.Fold(events)
}

// clear takes away what is on the screen. It may be called again.
func (v *view) clear() {
	if v.screen != nil {
		v.screen.Close()
		v.screen = nil
	}
}

// end says what is to be said of a build that is over, when no event comes any more.
func (v *view) end(args []string, tool *ending, ended time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.model.Close(ended)
	total := monitor.Total{Name: v.build.name, Elapsed: ended.Sub(v.model.Began)}
	total.Started, total.Lost, total.Reruns = v.build.counts()
	total.Here = time.Duration(tool.usage.Utime.Nano() + tool.usage.Stime.Nano())
	stayed := v.build.below.said()
	if !v.build.options.quiet {
		for _, line := range v.model.Summary(total) {
			fmt.Fprintln(v.build.stderr, line)
		}
		for _, line := range stayed {
			fmt.Fprintf(v.build.stderr, "%s: %s\n", v.build.name, line)
		}
	}
	dir, _ := os.Getwd()
	command := strings.Join(args, " ")
	r := v.model.Record(total, v.build.id, command, dir, nodeDaemon)
	r.Note = strings.Join(slices.Concat(v.build.notes, stayed), "; ")
	keep(v.build.getenv, r, v.model.JobLines(v.build.id))
	err := fill(v.report, func(w io.Writer) error { return v.model.Report(w, total, command, dir) })
	err = cmp.Or(err, fill(v.trace, func(w io.Writer) error { return v.model.Trace(w, total) }))
	if err != nil {
		fmt.Fprintf(v.build.stderr, "%s: %v\n", v.build.name, err) // the status stays the tool's
	}
	if tool.status == 0 && total.Elapsed >= time.Second && v.model.Ended > 0 {
		record(v.past, monitor.Expect{Commands: v.model.Ended, Elapsed: total.Elapsed, CPU: v.model.CPU(total)})
	}
}

func (v *view) close() {
	v.clear()
	for _, f := range []*os.File{v.report, v.trace} {
		if f != nil {
			f.Close()
		}
	}
}

// fill gives a file new contents.
func fill(f *os.File, write func(io.Writer) error) error {
	if f == nil {
		return nil
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		if err := f.Truncate(0); err != nil {
			return err
		}
	}
	out := bufio.NewWriterSize(f, 1<<16)
	return cmp.Or(write(out), out.Flush())
}
