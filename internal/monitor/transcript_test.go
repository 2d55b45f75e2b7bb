package monitor_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mexec/internal/monitor"
	"mexec/internal/monitortest"
)

var rewrite = flag.Bool("rewrite", false, "write what is shown into the transcripts")

// A transcript is events, and between them questions with what is shown for an answer, each line after a bar:
//
//	? 3s block 80x24 [ascii] [color] [expect=100/60s]
//	? 9s progress
//	? 9s summary here=4s
//	? 9s record here=4s
//	? 9s counts
func TestTranscripts(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no transcripts")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			model := monitor.New(monitortest.Began, false)
			var out strings.Builder
			for line := range strings.Lines(string(text)) {
				line = strings.TrimRight(line, "\n")
				if strings.HasPrefix(line, "|") {
					continue
				}
				out.WriteString(line + "\n")
				question, ok := strings.CutPrefix(line, "? ")
				if ok {
					for _, l := range answer(t, model, strings.Fields(question)) {
						out.WriteString(strings.TrimRight("| "+strings.ReplaceAll(l, "\x1b", "ESC"), " ") + "\n")
					}
					continue
				}
				events, err := monitortest.Events(line)
				if err != nil {
					t.Fatal(err)
				}
				model.Fold(events)
			}
			if *rewrite {
				os.WriteFile(file, []byte(out.String()), 0o644)
			} else if out.String() != string(text) {
				t.Errorf("shows\n%s", out.String())
			}
		})
	}
}

func answer(t *testing.T, m *monitor.Model, words []string) []string {
	t.Helper()
	at, err := time.ParseDuration(words[0])
	if err != nil {
		t.Fatal(err)
	}
	now := monitortest.Began.Add(at)
	switch words[1] {
	case "block":
		var width, height int
		fmt.Sscanf(words[2], "%dx%d", &width, &height)
		var style monitor.Style
		var expect monitor.Expect
		for _, w := range words[3:] {
			if history, ok := strings.CutPrefix(w, "expect="); ok {
				commands, elapsed, _ := strings.Cut(history, "/")
				fmt.Sscan(commands, &expect.Commands)
				expect.Elapsed, _ = time.ParseDuration(elapsed)
			}
			style.ASCII = style.ASCII || w == "ascii"
			style.Color = style.Color || w == "color"
		}
		lines := m.Lines("mpmake", width, height, style, expect, now)
		for _, l := range lines {
			if n := utf8.RuneCountInString(l); n > width && !style.Color {
				t.Errorf("%q is %d wide", l, n)
			}
		}
		return lines
	case "progress":
		return []string{m.Progress("mpmake", now)}
	case "summary":
		here, _ := time.ParseDuration(strings.TrimPrefix(words[2], "here="))
		return m.Summary(monitor.Total{Name: "mpmake", Elapsed: at, Here: here})
	case "record":
		here, _ := time.ParseDuration(strings.TrimPrefix(words[2], "here="))
		r := m.Record(monitor.Total{Name: "mpmake", Elapsed: at, Here: here}, "b", "make -j all", "/src/x", "node")
		return strings.Split(strings.TrimSuffix(r.Text(now.Add(5*time.Minute)), "\n"), "\n")
	case "counts":
		return []string{fmt.Sprintf("%d waiting, %d running, %d ended, %d failed, %d lost, %d withdrawn, %d refused, %d ran again, %d kept of which %d run, CPU %v there, %v here, room %d",
			m.Waiting, m.Running, m.Ended, m.Failed, m.LostN, m.WithdrawnN, m.Refused, m.Reran, m.KeptN, m.KeptRunning, m.There, m.Here, m.Room)}
	}
	t.Fatalf("what is %q?", words[1])
	return nil
}
