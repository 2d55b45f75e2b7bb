package monitor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mexec"
	"mexec/internal/monitor"
	"mexec/internal/monitortest"
)

// big is a build of n commands on four nodes with eight slots each, and of some that stayed. Its commands are bytes of any kind.
func big(n int) (*monitor.Model, monitor.Total) {
	m := monitor.New(monitortest.Began, true)
	r := rand.New(rand.NewPCG(1, 2))
	at := func(s float64) time.Time { return monitortest.Began.Add(time.Duration(s * float64(time.Second))) }
	nodes := []mexec.Node{{Number: 1, Name: "node1", State: mexec.Self, Slots: 8}, {Number: 2, Name: "node2", State: mexec.Up, Slots: 8},
		{Number: 3, Name: "node3", State: mexec.Up, Slots: 8}, {Number: 4, Name: "node4", State: mexec.Up, Slots: 8}}
	m.Fold([]mexec.Event{{Kind: mexec.Cluster, At: at(0), Nodes: nodes, Room: 32}})
	var free [32]float64
	end := 0.0
	for i := range n {
		slot := 0
		for s := range free {
			if free[s] < free[slot] {
				slot = s
			}
		}
		from, took := free[slot]+0.01*r.Float64(), 0.05+r.ExpFloat64()
		text := fmt.Sprintf("%s -O2 -c src/file%d.c -o obj/file%d.o", []string{"gcc", "g++", "python3", "ld", "sh -c 'moc"}[r.IntN(5)], i, i)
		switch i {
		case 7:
			text = "echo </script><script>document.title='broken'</script><!-- \xff\xfe \x1b[31m \u2028 & \" '"
		case 8:
			text = strings.Repeat("long ", 500)
		}
		id := mexec.JobID(i + 1)
		node := nodes[slot/8].Name
		events := []mexec.Event{
			{Kind: mexec.Received, At: at(from), Job: id, PID: 1000 + i, Command: text, Dir: "/project/sub"},
			{Kind: mexec.Starts, At: at(from + 0.005), Job: id, Node: node, Why: "first free slot: 3 of 8 in use by this node"},
			{Kind: mexec.Ended, At: at(from + took), Job: id, Usage: mexec.Usage{User: time.Duration(took * 0.8e9), MaxRSS: 20000 + r.Int64N(200000)}},
		}
		if i%500 == 99 {
			events[2].Status.Code = 1
		}
		if i%10 == 3 {
			events = append(events,
				mexec.Event{Kind: mexec.Kept, At: at(from), PID: 100000 + i, Command: "git describe --always", Why: "policy: built in"},
				mexec.Event{Kind: mexec.Reaped, At: at(from + 0.02), PID: 100000 + i, Usage: mexec.Usage{User: 1e7}})
		}
		m.Fold(events)
		free[slot] = from + took
		end = max(end, free[slot])
	}
	m.Fold([]mexec.Event{{Kind: mexec.Cluster, At: at(end / 2), Nodes: nodes, Room: 24},
		{Kind: mexec.Received, At: at(1), Job: 1 << 40, Command: "cc -c lost.c"}, {Kind: mexec.Starts, At: at(1), Job: 1 << 40, Node: "node4"}, {Kind: mexec.Lost, At: at(2), Job: 1 << 40, Why: "no beat for 5 s"}})
	return m, monitor.Total{Name: "mpmake", Elapsed: time.Duration(end * 1e9), Here: 5 * time.Second}
}

func page(t *testing.T, n int) []byte {
	t.Helper()
	m, total := big(n)
	var b bytes.Buffer
	if err := m.Report(&b, total, "make -j32 \xff all", "/project"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAPageIsWholeAndNamesNothingElsewhere(t *testing.T) {
	b := page(t, 10000)
	if elsewhere := regexp.MustCompile(`(?i)https?://|url\(|@import|\bsrc=|fetch\(|XMLHttpRequest|sendBeacon|WebSocket|import\(`).Find(b); elsewhere != nil {
		t.Errorf("it has %q", elsewhere)
	}
	if !bytes.Contains(b, []byte("default-src 'none'")) {
		t.Error("the browser is not told to fetch nothing")
	}
	if n := bytes.Count(b, []byte("</script>")); n != 2 {
		t.Errorf("%d ends of scripts", n)
	}
	_, data, _ := bytes.Cut(b, []byte(`type="application/json">`))
	data, _, _ = bytes.Cut(data, []byte("</script>"))
	var d struct {
		Commands []struct {
			N, L int
			S, E float64
		}
		Chain []int
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Commands) != 11001 {
		t.Errorf("%d commands", len(d.Commands))
	}
	ends := map[[2]int]float64{}
	for i, c := range d.Commands {
		if at := [2]int{c.N, c.L}; ends[at] > c.S {
			t.Fatalf("command %d: its lane is in use", i)
		} else {
			ends[at] = c.E
		}
	}
	for i, at := range d.Chain {
		if i > 0 && d.Commands[d.Chain[i-1]].E > d.Commands[at].S {
			t.Errorf("in the chain %d begins before %d has ended", at, d.Chain[i-1])
		}
	}
	if len(b) > 5<<20 {
		t.Errorf("%d bytes", len(b))
	}
}

// The page as a browser has it.
func TestAPageDrawsItselfAndNoRequestLeavesIt(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	dir := t.TempDir()
	log, shot := filepath.Join(dir, "log.json"), filepath.Join(dir, "shot.png")
	browse := func(page []byte, what string) string {
		file := filepath.Join(dir, "page.html")
		if err := os.WriteFile(file, page, 0o644); err != nil {
			t.Fatal(err)
		}
		// The proxy is not there: nothing that the browser wants on its own account leaves this machine either.
		cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
			"--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1300,2400", "--virtual-time-budget=20000", "--proxy-server=127.0.0.1:1", "--proxy-bypass-list=<-loopback>",
			"--user-data-dir="+filepath.Join(dir, "profile"), "--log-net-log="+log, what, "file://"+file)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		late := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
		defer late.Stop()
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, errs.String())
		}
		return string(out)
	}
	browse([]byte(`<!DOCTYPE html><img src="http://elsewhere.invalid/x">`), "--dump-dom")
	if all := requests(t, log); len(all) != 1 || all[0] != "http://elsewhere.invalid/x" {
		t.Fatalf("of a page that fetches a picture the browser tells %q", all)
	}
	report := page(t, 10000)
	dom := browse(report, "--dump-dom")
	if all := requests(t, log); len(all) > 0 {
		t.Errorf("the page asked for %q", all)
	}
	for _, has := range []string{`data-drawn="11001"`, "11001 of 11001", "<title>make -j32 \ufffd all, 2026-11-24</title>", "git describe", "no beat for 5 s", "policy: built in"} {
		if !strings.Contains(dom, has) {
			t.Errorf("the page has no %q", has)
		}
	}
	browse(report, "--screenshot="+shot)
	f, err := os.Open(shot)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	colors := map[[3]uint32]int{}
	for y := 0; y < picture.Bounds().Dy(); y += 2 {
		for x := 0; x < picture.Bounds().Dx(); x += 2 {
			r, g, b, _ := picture.At(x, y).RGBA()
			colors[[3]uint32{r >> 8, g >> 8, b >> 8}]++
		}
	}
	for _, c := range [][3]uint32{{0x3b, 0x82, 0xc4}, {0xe0, 0x91, 0x2f}, {0xd3, 0x3f, 0x2f}} { // two programs, what failed
		if colors[c] < 50 {
			t.Errorf("the picture has %d points of colour %x", colors[c], c)
		}
	}
	if keep := os.Getenv("MEXEC_TEST_SHOT"); keep != "" {
		b, _ := os.ReadFile(shot)
		os.WriteFile(keep, b, 0o644)
	}
}

// requests are those of the page in a browser's log, not its own for updates and the like: who asks is a page, or asks for one.
func requests(t *testing.T, file string) (urls []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var log struct {
		Constants struct{ LogEventTypes map[string]int }
		Events    []struct {
			Type   int
			Params struct {
				URL, Initiator string
				Key            string `json:"network_isolation_key"`
			}
		}
	}
	if err := json.Unmarshal(b, &log); err != nil {
		t.Fatal(err)
	}
	for _, e := range log.Events {
		if e.Params.URL != "" && e.Type == log.Constants.LogEventTypes["URL_REQUEST_START_JOB"] && (e.Params.Initiator != "not an origin" || strings.Contains(e.Params.Key, "file:")) {
			urls = append(urls, e.Params.URL)
		}
	}
	return urls
}

func TestATraceIsWhatPerfettoReads(t *testing.T) {
	m, total := big(1000)
	var b bytes.Buffer
	if err := m.Trace(&b, total); err != nil {
		t.Fatal(err)
	}
	var trace struct {
		TraceEvents []struct {
			Name, Ph, Cat string
			Pid, Tid      int
			Ts, Dur       float64
			Args          map[string]any
		}
	}
	if err := json.Unmarshal(b.Bytes(), &trace); err != nil {
		t.Fatal(err)
	}
	ends := map[[2]int]float64{}
	kinds := map[string]int{}
	for _, e := range trace.TraceEvents {
		kinds[e.Ph+" "+e.Cat]++
		if e.Ph != "X" {
			continue
		}
		// What is in one thread must not overlap, or it is shown as nested.
		if at := [2]int{e.Pid, e.Tid}; ends[at] > e.Ts+1 {
			t.Fatalf("%v begins at %v, and its thread is in use until %v", e.Name, e.Ts, ends[at])
		} else {
			ends[at] = e.Ts + e.Dur
		}
	}
	if kinds["X placed"] != 1001 || kinds["X kept"] != 100 || kinds["M "] != 9 || kinds["C "] < 1000 {
		t.Errorf("%v", kinds)
	}
	last := trace.TraceEvents[len(trace.TraceEvents)-3]
	if last.Name != "running" || last.Args["commands"] != 0.0 {
		t.Errorf("at the end there is %+v", last)
	}
}

func BenchmarkReport(b *testing.B) {
	m, total := big(10000)
	for b.Loop() {
		m.Report(&bytes.Buffer{}, total, "make", "/")
	}
}
