package daemon

import "sync"

// inbox is what home has sent of a stream and the job was not given yet. It counts bytes, as credit does: a channel of messages was full of the first
// few pieces of a caller who writes little at a time.
type inbox struct {
	most int // as many as there is credit for

	mu   sync.Mutex // guards the rest
	in   []byte
	eof  bool
	news chan struct{} // holds one
}

func newInbox(most int) *inbox { return &inbox{most: most, news: make(chan struct{}, 1)} }

// put enters what came. false: it is more than home had credit for.
func (b *inbox) put(in []byte, eof bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.in)+len(in) > b.most {
		return false
	}
	b.in = append(b.in, in...)
	b.eof = b.eof || eof
	select {
	case b.news <- struct{}{}:
	default:
	}
	return true
}

// take waits for what came, and says whether it is all that ever will. false: over was closed before anything came.
func (b *inbox) take(over <-chan struct{}) (in []byte, eof, ok bool) {
	for {
		b.mu.Lock()
		in, eof, b.in = b.in, b.eof, nil
		b.mu.Unlock()
		if len(in) > 0 || eof {
			return in, eof, true
		}
		select {
		case <-b.news:
		case <-over:
			return nil, false, false
		}
	}
}
