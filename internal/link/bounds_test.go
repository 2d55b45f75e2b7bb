package link

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"mexec"
	"mexec/internal/place"
	"mexec/internal/wire/mexecpb"
)

// One want of 40,000 shares kept a worker busy for six seconds, under the lock that each command needs. A message has room for two million.
func TestOneNoteOfAHomeTakesAWorkerNoTime(t *testing.T) {
	w := &mexecpb.Want{}
	for uid := range uint32(100_000) {
		w.Shares = append(w.Shares, &mexecpb.Share{Uid: uid, Slots: 1})
	}
	if shares := sharesOf(w); len(shares) != mostShares || shares[mostShares-1] != (place.Share{UID: mostShares - 1, Slots: 1}) {
		t.Errorf("%d shares", len(shares))
	}
}

// Whatever numbers a note has, what placement hears of is none below zero, and those of a thousand nodes can be added.
func TestNumbersOfOthersAreBounded(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 10_000 {
		n := r.Uint64() >> r.IntN(64)
		if r.IntN(10) == 0 {
			n = math.MaxUint64
		}
		few := uint32(n)
		shares := sharesOf(&mexecpb.Want{Shares: []*mexecpb.Share{{Slots: few, Memory: n}}})
		if lone := sharesOf(&mexecpb.Want{Slots: max(1, few)}); lone[0].Slots < 1 {
			t.Fatalf("seed %d: %d: %+v", seed, n, lone)
		}
		o := offerOf(&mexecpb.Grant{Ids: []uint64{n}, LeaseMs: few, Memory: n})
		if o.Lease < 0 || o.Lease > place.Lease || o.Grants[0] != place.Grant(n) {
			t.Fatalf("seed %d: %d: %+v", seed, n, o)
		}
		for what, v := range map[string]int64{"share": shares[0].Memory, "slots": int64(shares[0].Slots), "offer": o.Memory, "time": int64(Micros(n) / time.Microsecond), "node": Bytes(n)} {
			if v < 0 || v > math.MaxInt64/1000 || n < 1<<31 && v != int64(n) {
				t.Fatalf("seed %d: %d: %s of %d", seed, n, what, v)
			}
		}
		s := place.NewSlots(4)
		s.Limit(4, 1<<30, time.Time{})
		s.Want("a", shares, time.Time{})
		if s.Busy() > 4 || s.Reserved() > 1<<30 || s.Start("a", o.Grants[0], few, mexec.BuildID("b"), Bytes(n), time.Time{}) == place.Started && s.Busy() > 4 {
			t.Fatalf("seed %d: %d: %d slots, %d bytes", seed, n, s.Busy(), s.Reserved())
		}
	}
}
