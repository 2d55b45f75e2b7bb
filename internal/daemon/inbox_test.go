package daemon

import "testing"

func TestAnInboxCountsBytesAndNotPieces(t *testing.T) {
	b := newInbox(10)
	for _, piece := range []string{"a", "b", "", "c", "d", "e", "f", "g", "h", "ij"} {
		if !b.put([]byte(piece), false) {
			t.Fatalf("%q is more than there was credit for", piece)
		}
	}
	if b.put([]byte("k"), false) {
		t.Error("eleven bytes of ten")
	}
	b.put(nil, true)
	if in, eof, ok := b.take(nil); string(in) != "abcdefghij" || !eof || !ok {
		t.Errorf("%q %v %v", in, eof, ok)
	}
	over := make(chan struct{})
	close(over)
	b = newInbox(10)
	b.put([]byte("a"), false)
	if in, eof, ok := b.take(over); string(in) != "a" || eof || !ok {
		t.Errorf("what came before the end: %q %v %v", in, eof, ok)
	}
	if _, _, ok := b.take(over); ok {
		t.Error("took what there is not")
	}
}
