package history

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Key is what a command's cost is looked up by. The zero Key is of a command of which nothing is to be learned.
type Key struct {
	Kind    uint64
	Command uint64
}

// KeyOf makes the key of a command: of what user, of which kind (0: nobody has said), in which directory, with which arguments.
//
// A directory counts by its last name: that tells `cc -c main.c` in one part of a tree from that in another, and not one check-out from the
// next. Users are kept apart: nobody is to learn from the times of another's commands, nor to make the other's wait.
func KeyOf(uid uint32, kind uint64, dir, argv []byte) Key {
	if kind == 0 {
		return Key{}
	}
	k := mixed(kind ^ mixed(uint64(uid)+1))
	return Key{Kind: k, Command: hash(hash(k, dir[bytes.LastIndexByte(dir, '/')+1:]), argv)}
}

// hash takes eight bytes at a time: a byte-wise one would take longer than the rest of a look-up. Its numbers are kept in files, so it is not
// the runtime's, which is another one in each process.
func hash(seed uint64, b []byte) uint64 {
	h := seed ^ uint64(len(b))
	for ; len(b) >= 8; b = b[8:] {
		h = folded(h ^ binary.LittleEndian.Uint64(b))
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		h = folded(h ^ binary.LittleEndian.Uint64(last[:]))
	}
	return mixed(h)
}

// folded is one step of a hash: the two halves of a product, over each other.
func folded(h uint64) uint64 {
	high, low := bits.Mul64(h^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	return high ^ low
}

// mixed lets each bit count for each bit.
func mixed(h uint64) uint64 {
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}
