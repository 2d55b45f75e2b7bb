package monitor

import "time"

// Expect is what the last such build took that came to its end. The zero value expects nothing.
type Expect struct {
	Commands int           `json:"commands"`
	Elapsed  time.Duration `json:"elapsed_ns"`
	CPU      time.Duration `json:"cpu_ns"`
}

// Left estimates how long a build still takes, of which so many commands have ended. At first it believes the last build, at the end the pace of
// this one. It has no answer for a build that is another than the last: that has more commands, or should be over.
func (e Expect) Left(ended int, elapsed time.Duration) (time.Duration, bool) {
	if e.Commands <= 0 || e.Elapsed <= 0 || ended > e.Commands {
		return 0, false
	}
	share := float64(ended) / float64(e.Commands)
	total := (1 - share) * float64(e.Elapsed)
	if ended > 0 {
		total += float64(elapsed) // share of elapsed/share
	}
	left := time.Duration(total) - elapsed
	return left, left > 0
}
