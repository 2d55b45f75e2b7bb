package main

import "golang.org/x/sys/unix"

// monotonic is the clock of record.c, in seconds.
func monotonic() float64 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return float64(t.Sec) + float64(t.Nsec)/1e9
}
