package place

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mexec"
)

// audit checks the books of a home against its jobs, added up anew.
func (h *Home) audit() error {
	waiting, running, idle := 0, 0, 0
	users := map[uint32]int{}
	for id, j := range h.jobs {
		switch {
		case j.ID != id:
			return fmt.Errorf("job %d is %d", id, j.ID)
		case j.node == nil:
			if waiting++; j.queue.jobs[j.at] != j || !j.waits {
				return fmt.Errorf("job %d waits nowhere", id)
			}
		default:
			running++
			users[j.UID]++
			if j.node.jobs[j.place] != j || h.nodes[j.node.Name] != j.node {
				return fmt.Errorf("job %d runs nowhere", id)
			}
		}
	}
	queued, odd := 0, 0
	for _, q := range h.queues {
		queued += len(q.jobs)
		odd = 0
		work := time.Duration(0)
		for i, j := range q.jobs {
			if j.at != i || j.queue != q || i > 0 && j.before(q.jobs[(i-1)/2]) {
				return fmt.Errorf("job %d is out of place", j.ID)
			}
			if j.odd() {
				odd++
			}
			work += j.counted
		}
		if q.odd != odd || q.work != work || (len(q.jobs) > 0) != slices.Contains(h.busy, q) {
			return fmt.Errorf("queue %+v: %d odd, are %d; work %v, is %v", q.queueKey, q.odd, odd, q.work, work)
		}
		if q.set != h.here && !slices.Contains(h.sets, q.set) {
			return fmt.Errorf("queue %+v has a set that nobody keeps", q.queueKey)
		}
	}
	on := 0
	for i, n := range h.all {
		if n.at != i || h.nodes[n.Name] != n || n.running != len(n.jobs) {
			return fmt.Errorf("node %s is out of place", n.Name)
		}
		on += n.running
		idle += len(n.idle)
		if (len(n.idle) > 0) != slices.Contains(h.idles, n) {
			return fmt.Errorf("node %s has %d idle grants", n.Name, len(n.idle))
		}
		staked := 0
		for _, s := range n.stakes {
			staked += s.running
			if s.told < 0 || s.running < 0 || h.shares[s.shareKey] != s.share && s.running+s.told > 0 {
				return fmt.Errorf("stake %+v on %s", s, n.Name)
			}
		}
		if staked != n.running || (n.running > 0 || len(n.stakes) > 0) && !n.active {
			return fmt.Errorf("node %s runs %d, staked are %d", n.Name, n.running, staked)
		}
	}
	for _, s := range h.sets {
		for _, n := range s.pool {
			if h.nodes[n.Name] != n || !s.names(n) {
				return fmt.Errorf("set %s has %s", s.wish, n.Name)
			}
		}
		for _, n := range h.all {
			if s.names(n) != slices.Contains(s.pool, n) {
				return fmt.Errorf("set %s lacks %s", s.wish, n.Name)
			}
		}
	}
	if waiting != h.waiting || waiting != queued || running != on || idle != h.idle || len(h.nodes) != len(h.all) {
		return fmt.Errorf("%d wait, counted %d, queued %d; %d run, counted %d; %d idle, counted %d", waiting, h.waiting, queued, running, on, idle, h.idle)
	}
	for uid, k := range h.running {
		if users[uid] != k {
			return fmt.Errorf("user %d: %d run, are %d", uid, k, users[uid])
		}
	}
	return nil
}

// Nodes that grant what was not asked for, twice and with any memory, recall what they never gave, refuse for any reason, are cut off, say that they are of any size, come
// and go and come back. The home's books balance, it starts each job once at a time, and in the end all have run.
func TestWhateverNodesDoEachJobRuns(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 9))
		now := t0
		me := mexec.Node{Number: 1, Name: "n1", Slots: 2, State: mexec.Self, Labels: "here"}
		h := NewHome(me, r)
		s := NewSlots(2)
		s.Host("n1")
		s.Limit(2, 8<<30, now)
		at := map[mexec.JobID]Start{}
		mine := map[mexec.JobID]bool{} // of at: it runs here by a grant of s
		next, last := mexec.JobID(0), Grant(0)
		names := func() mexec.NodeID { return mexec.NodeID(fmt.Sprint("n", 1+r.IntN(7))) }
		// What package link makes of any number.
		bytes := func() int64 { return min(max(0, whatever(r)), 1<<50) }
		count := func() int { return min(int(max(0, whatever(r))), math.MaxInt32) >> r.IntN(32) }
		settle := func() {
			for {
				todo := h.Take()
				offers, recalls := s.Take()
				if todo.Empty() && len(offers)+len(recalls) == 0 {
					return
				}
				for _, st := range todo.Starts {
					if _, twice := at[st.Job]; twice {
						t.Fatalf("seed %d: job %d is started twice", seed, st.Job)
					}
					at[st.Job], mine[st.Job] = st, false
					if st.Node == "n1" {
						switch s.Start("n1", st.Grant, st.UID, st.Build, st.Memory, now) {
						case VoidGrant:
							delete(at, st.Job)
							h.Refused(st.Job, RefusedGrant, "void", now)
						case NoMemory:
							delete(at, st.Job)
							h.Refused(st.Job, RefusedMemory, "memory", now)
						default:
							mine[st.Job] = true
						}
					}
				}
				for _, w := range todo.Wants {
					if w.Node == "n1" {
						s.Want("n1", w.Shares, now)
					}
				}
				for _, g := range todo.Returns {
					if g.Node == "n1" {
						s.Return("n1", g.Grants, now)
					}
				}
				for _, o := range offers {
					h.Granted("n1", o, now)
				}
				for _, o := range recalls {
					h.Recalled("n1", o.Grants, now)
				}
			}
		}
		end := func(id mexec.JobID) {
			var renewed Renewal
			if st := at[id]; mine[id] {
				renewed = s.End(st.Grant, now)
			} else if r.IntN(2) == 0 {
				last++
				renewed = Renewal{Grant: last, Memory: bytes(), Lease: time.Duration(r.IntN(2)) * Lease}
			}
			delete(at, id)
			h.Ended(id, renewed, now)
		}
		some := func() mexec.JobID {
			for id := range next {
				if _, runs := at[id+1]; runs && r.IntN(3) == 0 {
					return id + 1
				}
			}
			return 0
		}
		others := func() (view []mexec.Node) {
			for i := 2; i < 8; i++ {
				if r.IntN(4) > 0 {
					view = append(view, mexec.Node{
						Number: i, Name: mexec.NodeID(fmt.Sprint("n", i)), State: []mexec.NodeState{mexec.Up, mexec.Up, mexec.Down, mexec.Draining}[r.IntN(4)], Labels: []string{"", "big"}[r.IntN(2)],
						Slots: count(), Busy: count(), Memory: bytes(), Free: bytes(),
						Speed: []float64{0, 1, 0.25, 8, 1e-9, 1e9}[r.IntN(6)],
					})
				}
			}
			return view
		}
		wishes := []string{"", "", "label:big", "2-4", "label:here", "9"}
		for step := range 300 {
			now = now.Add(time.Duration(r.IntN(60)) * time.Millisecond)
			if r.IntN(50) == 0 {
				now = now.Add(time.Duration(r.IntN(90)) * time.Second)
			}
			h.Own(s)
			op := r.IntN(16)
			switch op {
			case 0, 1, 2:
				next++
				h.Submit(Job{
					ID: next, Nodes: nodes(t, wishes[r.IntN(len(wishes))]), UID: uint32(r.IntN(2)), Build: mexec.BuildID(fmt.Sprint(r.IntN(2))), Dir: [2]uint64{0, r.Uint64N(2)},
					Cost: mexec.Cost{Wall: time.Duration(max(0, whatever(r))), Memory: bytes(), Runs: r.IntN(5)},
				}, now)
			case 3, 4, 5:
				last++
				o := Offer{Grants: []Grant{last, Grant(r.IntN(5))}, Memory: bytes(), Lease: time.Duration(r.IntN(2)) * Lease}
				if n := names(); n != "n1" {
					h.Granted(n, o, now)
				}
			case 6:
				h.Recalled(names(), []Grant{last, Grant(r.IntN(50))}, now)
			case 7, 8:
				if id := some(); id != 0 {
					end(id)
				}
			case 9, 10:
				if id := some(); id != 0 && !mine[id] {
					delete(at, id)
					h.Refused(id, Refusal(r.IntN(int(RefusedMemory)+1)), "no", now)
				}
			case 11:
				if n := names(); n != "n1" {
					h.Down(n, now.Add(time.Duration(r.IntN(3000))*time.Millisecond), "cut", now)
				}
			case 12:
				h.Reset(names(), now)
			case 13:
				h.View(append(others(), me), now)
			case 14:
				h.Updates(others(), now)
			case 15:
				if id := 1 + mexec.JobID(r.IntN(int(next)+1)); r.IntN(2) == 0 {
					h.Learned(id, mexec.Cost{Wall: time.Duration(max(0, whatever(r))), Memory: bytes()}, now)
				} else if _, runs := at[id]; !runs {
					h.Withdraw(id)
				}
			}
			if op%2 == 0 {
				h.Tick(now)
				s.Tick(now)
			}
			h.Retry(now)
			settle()
			if err := h.audit(); err != nil {
				t.Fatalf("seed %d step %d op %d: %v", seed, step, op, err)
			}
			h.Room(nodes(t, wishes[r.IntN(len(wishes))]), 0, s.Busy(), now)
			h.Trouble(now)
			if id := some(); id != 0 {
				h.Straggles(id, now)
			}
		}
		for i := 2; i < 8; i++ {
			h.Down(mexec.NodeID(fmt.Sprint("n", i)), now.Add(time.Hour), "gone", now)
		}
		for range 100_000 {
			if len(h.jobs) == 0 {
				break
			}
			now = now.Add(50 * time.Millisecond)
			h.Own(s)
			h.Tick(now)
			s.Tick(now)
			settle()
			for id := range next {
				if _, runs := at[id+1]; runs {
					end(id + 1)
				}
			}
			settle()
		}
		if len(h.jobs) > 0 {
			t.Fatalf("seed %d: %d jobs have not run, of which %d wait", seed, len(h.jobs), h.waiting)
		}
	}
}
