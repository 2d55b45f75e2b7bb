package daemon

import "sync"

// inbox is what the other node has sent of a stream and nobody has taken yet. It counts bytes, as credit does: a channel of messages was full of the
// first few pieces of a caller who writes little at a time.
type inbox struct {
	most int           // as many as there is credit for
	news chan struct{} // holds one

	mu  sync.Mutex // guards the rest
	in  []byte
	eof bool
}

func newInbox(most int) *inbox { return &inbox{most: most, news: make(chan struct{}, 1)} }

// put enters what came. false: it is more than there was credit for.
func (b *inbox) put(in []byte, eof bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.in)+len(in) > b.most {
		return false
	}
	b.in = append(b.in, in...)
	b.eof = b.eof || eof
	b.wake()
	return true
}

func (b *inbox) wake() {
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// all takes what there is, and says whether it is the end.
func (b *inbox) all() (in []byte, eof bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in, eof = b.in, b.eof
	b.in, b.eof = nil, false
	return in, eof
}

// take is all, once there is anything. false: over was closed before that.
func (b *inbox) take(over <-chan struct{}) (in []byte, eof, ok bool) {
	for {
		if in, eof = b.all(); len(in) > 0 || eof {
			return in, eof, true
		}
		select {
		case <-b.news:
		case <-over:
			return nil, false, false
		}
	}
}
