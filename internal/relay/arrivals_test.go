package relay

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// outputs are the pipes of some jobs of one home.
func outputs(t *testing.T, n int) (all *Arrivals, in []*Arrival, jobs []*os.File) {
	t.Helper()
	all, err := NewArrivals()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { all.Close() })
	count := new(uint64)
	for range n {
		r, w, err := NewDrain()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		a, err := all.Add(r, count)
		if err != nil {
			t.Fatal(err)
		}
		in, jobs = append(in, a), append(jobs, w)
	}
	return all, in, jobs
}

// The bug: lines of two recipes that wait for each other's files came home in reverse. The runtime wakes last who became ready first.
func TestOutputIsNumberedAsItWasWrittenWhoeverReadsFirst(t *testing.T) {
	const jobs = 5
	_, in, out := outputs(t, jobs)
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 10)
	last := uint64(0)
	for range 200 {
		order := random.Perm(jobs)[:1+random.IntN(jobs)]
		for _, i := range order {
			out[i].WriteString("x")
		}
		numbers := make([]uint64, jobs)
		for _, i := range random.Perm(jobs) {
			if slices.Contains(order, i) {
				var err error
				if _, numbers[i], err = in[i].Read(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, i := range order {
			if numbers[i] != last+1 {
				t.Fatalf("written in the order %v, numbered %v after %d", order, numbers, last)
			}
			last = numbers[i]
		}
	}
}

func TestTheSecondJobFindsNothingOldInTheOrder(t *testing.T) {
	all, in, out := outputs(t, 1)
	b := make([]byte, 10)
	out[0].WriteString("x") // alone: read without a look at the kernel's list
	if _, order, err := in[0].Read(b); order != 1 || err != nil {
		t.Fatal(order, err)
	}
	r, w, err := NewDrain()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	second, err := all.Add(r, in[0].count)
	if err != nil {
		t.Fatal(err)
	}
	w.WriteString("y")
	out[0].WriteString("z")
	_, last, err := in[0].Read(b)
	_, middle, serr := second.Read(b)
	if middle != 2 || last != 3 || err != nil || serr != nil {
		t.Error(middle, last, err, serr)
	}
}

func TestAllOutputIsReadAndItsEndHasNoNumber(t *testing.T) {
	all, in, out := outputs(t, 2)
	go func() {
		for range 1000 {
			out[0].WriteString("0123456789")
		}
		out[0].Close()
	}()
	b := make([]byte, 7)
	var got strings.Builder
	for last := uint64(0); ; {
		n, order, err := in[0].Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			if order != 0 {
				t.Errorf("the end is number %d: whoever waits for it waits in vain", order)
			}
			break
		}
		if order != last+1 {
			t.Fatalf("%d comes after %d", order, last)
		}
		last = order
		got.Write(b[:n])
	}
	if got.String() != strings.Repeat("0123456789", 1000) {
		t.Errorf("%d bytes", got.Len())
	}
	in[0].Remove()
	if len(all.of) != 1 {
		t.Errorf("%d pipes", len(all.of))
	}
}

// The bug: each command whose reader went away, as in `mexec yes | head`, left a warning in its node's log.
func TestAPipeThatWasClosedSaysSo(t *testing.T) {
	all, in, out := outputs(t, 2)
	over := make(chan error)
	go func() {
		for b := make([]byte, 10); ; {
			if _, _, err := in[0].Read(b); err != nil {
				over <- err
				return
			}
		}
	}()
	out[0].WriteString("x")
	in[0].file.Close()
	if err := <-over; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if _, err := all.Add(in[0].file, in[0].count); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}
