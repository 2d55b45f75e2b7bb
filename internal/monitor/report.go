package monitor

import (
	_ "embed"
	"encoding/json"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// The page is one file: its style, its program and its data are in it, and nothing is fetched. The browser is told to hold that, too.
//
//go:embed report.html
var reportHTML string

//go:embed report.css
var reportCSS string

//go:embed report.js
var reportJS string

// reportData is what the page's program draws. Times are seconds since the begin of the build.
type reportData struct {
	Name     string          `json:"name"`
	Command  string          `json:"command"`
	Dir      string          `json:"dir"`
	Began    string          `json:"began"`
	Elapsed  float64         `json:"elapsed"`
	CPU      float64         `json:"cpu"`
	There    float64         `json:"there"`
	Failed   int             `json:"failed"`
	Summary  []string        `json:"summary"`
	Nodes    []reportNode    `json:"nodes"`
	Programs []string        `json:"programs"`
	Commands []reportCommand `json:"commands"`
	Stays    []reportStay    `json:"stays"`
	Trouble  []reportTrouble `json:"trouble"`
	Rooms    [][2]float64    `json:"rooms"`
	Chain    []int           `json:"chain"`
}

type reportNode struct {
	Name  string  `json:"name"`
	Home  bool    `json:"home"`
	Slots int     `json:"slots"`
	Lanes int     `json:"lanes"`
	N     int     `json:"n"`
	CPU   float64 `json:"cpu"`
}

// reportCommand has short names: there may be very many.
type reportCommand struct {
	Text    string  `json:"c"`
	Dir     string  `json:"d,omitempty"`
	Program int     `json:"p"`
	Node    int     `json:"n"`
	Lane    int     `json:"l"`
	Asked   float64 `json:"a"`
	From    float64 `json:"s"`
	To      float64 `json:"e"`
	CPU     float64 `json:"u,omitempty"`
	RSS     int64   `json:"m,omitempty"` // KiB
	Ending  string  `json:"x,omitempty"` // empty: exit status 0
	Kept    bool    `json:"k,omitempty"`
	Why     string  `json:"w,omitempty"`
	Again   int     `json:"r,omitempty"`
}

type reportStay struct {
	Program string  `json:"program"`
	Why     string  `json:"why"`
	Drives  bool    `json:"drives"`
	N       int     `json:"n"`
	Took    float64 `json:"took"`
	CPU     float64 `json:"cpu"`
}

type reportTrouble struct {
	What string `json:"what"`
	N    int    `json:"n"`
}

// Report writes the page of a build that kept its commands and is over. command is the tool's, with blanks between.
func (m *Model) Report(w io.Writer, t Total, command, dir string) error {
	p := m.picture(m.Began.Add(t.Elapsed))
	d := reportData{
		Name: t.Name, Command: valid(command), Dir: valid(dir), Began: m.Began.Format(time.RFC3339),
		Elapsed: round(t.Elapsed), CPU: round(m.CPU(t)), There: round(m.There), Failed: m.Failed,
		Summary: []string{}, Nodes: []reportNode{}, Programs: []string{}, Commands: []reportCommand{}, Stays: []reportStay{}, Trouble: []reportTrouble{},
		Rooms: [][2]float64{}, Chain: p.chain(),
	}
	for _, line := range m.Summary(t) {
		d.Summary = append(d.Summary, valid(strings.TrimPrefix(line, t.Name+": ")))
	}
	for i, n := range p.nodes {
		d.Nodes = append(d.Nodes, reportNode{valid(string(n.Name)), n.Home, n.Slots, p.lanes[i], n.Started, round(n.CPU)})
	}
	programs := map[string]int{}
	for _, s := range p.spans {
		name := valid(Program(s.Text))
		number, ok := programs[name]
		if !ok {
			number = len(programs)
			programs[name] = number
			d.Programs = append(d.Programs, name)
		}
		c := reportCommand{Text: valid(s.Text), Dir: valid(s.Dir), Program: number, Node: s.node, Lane: s.lane, Asked: round(s.asked), From: round(s.from), To: round(s.to),
			CPU: round(cpu(s.Usage)), RSS: s.Usage.MaxRSS, Kept: s.Kept, Why: valid(s.Why), Again: s.Again}
		if e := ending(s.Command); e != "exit status 0" {
			c.Ending = e
		}
		d.Commands = append(d.Commands, c)
	}
	for _, s := range m.Stays() {
		d.Stays = append(d.Stays, reportStay{valid(s.Program), valid(s.Why), s.Drives, s.N, round(s.Took), round(s.CPU)})
	}
	for _, l := range m.Losses {
		d.Trouble = append(d.Trouble, reportTrouble{"lost: " + valid(l), 1})
	}
	for why, n := range m.Refusals {
		d.Trouble = append(d.Trouble, reportTrouble{"refused by " + valid(why), n})
	}
	slices.SortFunc(d.Trouble, func(a, b reportTrouble) int { return strings.Compare(a.What, b.What) })
	for _, r := range m.Rooms {
		d.Rooms = append(d.Rooms, [2]float64{round(max(0, r.At.Sub(m.Began))), float64(r.N)})
	}
	data, err := json.Marshal(d) // writes < as \u003c: nothing in it can end the element that it is in
	if err != nil {
		return err
	}
	page := reportHTML
	for _, part := range []struct{ mark, text string }{{"/* style */", reportCSS}, {"/* data */", string(data)}, {"/* program */", reportJS}} {
		before, after, _ := strings.Cut(page, part.mark)
		if _, err := io.WriteString(w, before+part.text); err != nil {
			return err
		}
		page = after
	}
	_, err = io.WriteString(w, page)
	return err
}

// round is a time in seconds, to a tenth of a millisecond.
func round(d time.Duration) float64 { return math.Round(d.Seconds()*1e4) / 1e4 }
