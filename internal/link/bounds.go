package link

import (
	"math"
	"time"
)

// What the other side says of itself is any number at all: it may be of another version, or nobody's friend. Here it becomes one that can be added to others of its kind,
// and that is not below zero.

// mostShares is for how many builds a home is heard to want slots in one note. The worker looks through them for each.
const mostShares = 1024

// Bytes is a number of bytes, or of kilobytes.
func Bytes(n uint64) int64 { return int64(min(n, 1<<50)) }

// Micros is a time that was said in microseconds.
func Micros(n uint64) time.Duration { return time.Duration(min(n, 1<<50)) * time.Microsecond }

// Count is a number of slots.
func Count(n uint32) int { return int(min(n, math.MaxInt32)) }
