package jobserver

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The model is one home and its jobs without any edge: pipes are slices, streams are queues, time is a number. What makes and jobs do is random.

type message struct {
	offer Offer
	news  News
	back  []byte
}

type job struct {
	b        *Borrower
	down, up []message
	pool     *Pool
	pipe     []byte
	held     []byte
}

type world struct {
	now   time.Time
	all   []byte // every token there is
	pipe  []byte // at home
	held  []byte // by the make at home
	book  Lender
	jobs  []*job
	ended int
}

func newWorld(n int) *world {
	w := &world{now: time.Unix(1000, 0)}
	for i := range n {
		w.all = append(w.all, byte('a'+i))
	}
	w.pipe = slices.Clone(w.all)
	return w
}

// home does what a lending does at its turn.
func (w *world) home() (wake time.Time, watch bool) {
	for {
		m := w.book.Next(w.now, len(w.pipe))
		if m.To == nil {
			return m.Wake, m.Watch
		}
		i := slices.IndexFunc(w.jobs, func(j *job) bool { return j.b == m.To })
		j := w.jobs[i]
		if m.Recall {
			w.book.Recalled(m.To)
			j.down = append(j.down, message{offer: Offer{Recall: true}})
			continue
		}
		o := Offer{Tokens: []byte{w.pipe[0]}}
		w.pipe = w.pipe[1:]
		w.book.Lent(m, o.Tokens[0])
		if m.Standing {
			o.Standing = 1
		}
		j.down = append(j.down, message{offer: o})
	}
}

// worker does what a nest does at its turn.
func (w *world) worker(j *job) {
	j.pool.Look(w.now, len(j.pipe))
	var back []byte
	recalled := false
	if len(j.down) > 0 {
		o := j.down[0].offer
		j.down = j.down[1:]
		if len(o.Tokens) > 0 {
			j.pipe = append(j.pipe, o.Tokens...)
			j.pool.Offered(w.now, len(o.Tokens), o.Standing)
		}
		if o.Recall {
			back, j.pipe, recalled = j.pipe, nil, true
			j.pool.Recalled(w.now)
		}
	}
	if n := j.pool.Back(w.now); !recalled && n > 0 {
		back, j.pipe = slices.Clone(j.pipe[:n]), j.pipe[n:]
		j.pool.Returned(w.now, n)
	}
	if n, fresh := j.pool.News(w.now); fresh || recalled || len(back) > 0 {
		j.up = append(j.up, message{news: n, back: slices.Clone(back)})
	}
}

// hear delivers the oldest message of a job at home.
func (w *world) hear(j *job) {
	if len(j.up) > 0 {
		w.pipe = append(w.pipe, w.book.Heard(j.b, j.up[0].news, j.up[0].back)...)
		j.up = j.up[1:]
	}
}

func (w *world) begin() {
	w.jobs = append(w.jobs, &job{b: w.book.Join(), pool: NewPool()})
}

// end is the end of a job of any kind: what it has, and what is on its way, is no more.
func (w *world) end(i int) {
	w.pipe = append(w.pipe, w.book.Gone(w.jobs[i].b)...)
	w.jobs = slices.Delete(w.jobs, i, i+1)
	w.ended++
}

// check holds the one invariant: each token is at one place, at home or in one page of the book; and what a job really has is in its page.
func (w *world) check(t *rapid.T) {
	sum := slices.Concat(w.pipe, w.held)
	for _, j := range w.jobs {
		sum = append(sum, j.b.lent...)
		real := slices.Concat(j.pipe, j.held)
		for _, m := range j.down {
			real = append(real, m.offer.Tokens...)
		}
		for _, m := range j.up {
			real = append(real, m.back...)
		}
		if !bytes.Equal(sorted(real), sorted(j.b.lent)) {
			t.Fatalf("a job has %q, and the book says %q", sorted(real), sorted(j.b.lent))
		}
	}
	if !bytes.Equal(sorted(sum), w.all) {
		t.Fatalf("of the tokens %q there are %q", w.all, sorted(sum))
	}
}

func sorted(b []byte) []byte {
	b = slices.Clone(b)
	slices.Sort(b)
	return b
}

// settle lets time pass until nobody has done anything for long.
func (w *world) settle(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(time.Millisecond) {
		w.step()
	}
}

// step delivers everything and lets everybody have a turn.
func (w *world) step() {
	w.home()
	for _, j := range w.jobs {
		for w.worker(j); len(j.down) > 0; {
			w.worker(j)
		}
		for len(j.up) > 0 {
			w.hear(j)
		}
	}
}

func takeOne(from, to *[]byte, i int) {
	if len(*from) > 0 {
		i %= len(*from)
		*to = append(*to, (*from)[i])
		*from = slices.Delete(*from, i, i+1)
	}
}

func TestNoTokenIsMintedLostOrChangedHoweverJobsEnd(t *testing.T) {
	kills := 0
	for kills < 1000 {
		rapid.Check(t, func(t *rapid.T) { randomWorld(t, &kills) })
	}
}

func randomWorld(t *rapid.T, kills *int) {
	w := newWorld(rapid.IntRange(0, 20).Draw(t, "tokens"))
	for range rapid.IntRange(10, 200).Draw(t, "steps") {
		what, i := rapid.IntRange(0, 11).Draw(t, "what"), rapid.IntRange(0, 1000).Draw(t, "which")
		w.now = w.now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 3, 12, 60}).Draw(t, "ms")) * time.Millisecond)
		var j *job
		if len(w.jobs) > 0 {
			j = w.jobs[i%len(w.jobs)]
		}
		switch {
		case what == 0 || j == nil:
			if len(w.jobs) < 6 {
				w.begin()
			}
		case what == 1:
			takeOne(&w.pipe, &w.held, i)
		case what == 2:
			takeOne(&w.held, &w.pipe, i)
		case what == 3:
			takeOne(&j.pipe, &j.held, i)
		case what == 4:
			takeOne(&j.held, &j.pipe, i)
		case what == 5:
			w.end(i % len(w.jobs))
			*kills++
		case what <= 7:
			w.home()
		case what <= 9:
			w.worker(j)
		default:
			w.hear(j)
		}
		w.check(t)
	}
	if len(w.jobs) > 0 {
		w.starve(t)
	}
	for len(w.jobs) > 0 {
		w.end(0)
		*kills++
		w.check(t)
	}
	w.pipe = append(w.pipe, w.held...)
	if !bytes.Equal(sorted(w.pipe), w.all) {
		t.Fatalf("%q came home of %q", w.pipe, w.all)
	}
}

// starve fails the test unless one job that waits gets every token in the end, where nobody else wants any.
func (w *world) starve(t *rapid.T) {
	w.pipe, w.held = append(w.pipe, w.held...), nil
	for _, j := range w.jobs[1:] {
		j.pipe, j.held = append(j.pipe, j.held...), nil
	}
	waits := w.jobs[0]
	for end := w.now.Add(5 * time.Second); w.now.Before(end); w.now = w.now.Add(time.Millisecond) {
		w.step()
		takeOne(&waits.pipe, &waits.held, 0)
		w.check(t)
	}
	// What stands elsewhere is recalled when home has none left, and goes on to who asks.
	if len(waits.held) != len(w.all) {
		t.Fatalf("it has %q of %q; home has %q", waits.held, w.all, w.pipe)
	}
}

func TestWhatAJobGivesBackBeyondItsLoanIsDropped(t *testing.T) {
	var l Lender
	b := l.Join()
	l.Lent(Move{To: b}, 'a')
	l.Lent(Move{To: b}, 'b')
	if got := l.Heard(b, News{}, []byte("b")); string(got) != "b" {
		t.Errorf("%q", got)
	}
	if got := l.Heard(b, News{}, []byte("xyz")); string(got) != "a" {
		t.Errorf("%q: a byte that was not lent stands for one that was, and no more than one", got)
	}
	if got := l.Gone(b); len(got) != 0 || !l.Empty() {
		t.Errorf("%q", got)
	}
}

// A nested make that waits reads as soon as there is something to read.
func TestAJobThatWaitsGetsAllThatIsFreeAndTheLastOneToo(t *testing.T) {
	w := newWorld(7)
	w.begin()
	for range 100 {
		w.step()
		takeOne(&w.jobs[0].pipe, &w.jobs[0].held, 0)
		w.now = w.now.Add(time.Millisecond)
	}
	if len(w.jobs[0].held) != 7 {
		t.Errorf("has %q", w.jobs[0].held)
	}
}

func TestAJobThatBeganToWaitWhileItRestedGetsTheLastTokenAfterTheLongestPause(t *testing.T) {
	w := newWorld(1)
	w.begin()
	w.settle(5 * time.Second)
	if len(w.pipe) != 1 {
		t.Fatal("the last token is not at home")
	}
	began := w.now
	for len(w.jobs[0].held) == 0 {
		w.step()
		takeOne(&w.jobs[0].pipe, &w.jobs[0].held, 0)
		w.now = w.now.Add(time.Millisecond)
		if w.now.Sub(began) > lastPause+grace {
			t.Fatal("it starves")
		}
	}
}

func TestTheLastTokenIsAlmostAlwaysAtHomeWhileNobodyWantsIt(t *testing.T) {
	w := newWorld(1)
	w.begin()
	w.settle(5 * time.Second)
	away := 0
	for range 10_000 {
		w.step()
		if len(w.pipe) == 0 {
			away++
		}
		w.now = w.now.Add(time.Millisecond)
	}
	if away > 300 {
		t.Errorf("it was away for %d of 10,000 ms", away)
	}
}

// ninja never waits: what it is to have must lie there when it looks.
func TestAJobThatOnlyTriesFindsATokenWhileHomeHasMoreThanOne(t *testing.T) {
	w := newWorld(8)
	for range 3 {
		w.begin()
	}
	w.settle(5 * time.Second)
	for _, j := range w.jobs {
		if len(j.pipe) != 1 {
			t.Errorf("%q lies there", j.pipe)
		}
	}
	if len(w.pipe) != 5 {
		t.Errorf("%q is at home", w.pipe)
	}
}

func TestWhenTheMakeAtHomeHasTakenTheLastOneAllThatLieUnreadComeHomeAtOnce(t *testing.T) {
	w := newWorld(6)
	for range 4 {
		w.begin()
	}
	w.settle(time.Second)
	for len(w.pipe) > 0 {
		takeOne(&w.pipe, &w.held, 0)
	}
	w.settle(look + 2*time.Millisecond)
	if len(w.pipe) != 4 {
		t.Errorf("%q came home", w.pipe)
	}
}

func TestATokenThatAJobReturnsIsHomeAfterAMoment(t *testing.T) {
	w := newWorld(4)
	w.begin()
	for range 20 {
		w.step()
		takeOne(&w.jobs[0].pipe, &w.jobs[0].held, 0)
	}
	for len(w.jobs[0].held) > 0 {
		takeOne(&w.jobs[0].held, &w.jobs[0].pipe, 0)
	}
	w.settle(grace + 3*time.Millisecond)
	if len(w.pipe) < 3 {
		t.Errorf("%q came home", w.pipe)
	}
}

func TestIdleJobsAndAnIdleHomeSayNothingToEachOther(t *testing.T) {
	w := newWorld(8)
	w.begin()
	w.begin()
	w.settle(time.Second)
	for range 1000 {
		w.home()
		for _, j := range w.jobs {
			w.worker(j)
			if len(j.down)+len(j.up) > 0 {
				t.Fatalf("%+v %+v", j.down, j.up)
			}
		}
		w.now = w.now.Add(time.Millisecond)
	}
}

func TestWhoAskedFirstIsServedFirstAndNobodyTwiceBeforeTheOthers(t *testing.T) {
	w := newWorld(3)
	for range 3 {
		w.begin()
	}
	for range 30 {
		w.step()
		for _, j := range w.jobs {
			takeOne(&j.pipe, &j.held, 0)
		}
	}
	for i, j := range w.jobs {
		if len(j.held) != 1 {
			t.Errorf("job %d has %q", i, j.held)
		}
	}
}
