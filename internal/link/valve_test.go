package link

import (
	"net"
	"sync"
	"testing"
)

// valve is a network between the two sides that can be cut: bytes go in and none comes out.
type valve struct {
	ln   net.Listener
	mu   sync.Mutex
	cut  bool
	full bool // what is between the two takes nothing
	wg   sync.WaitGroup
	conn []net.Conn
	over chan struct{}
}

func newValve(t *testing.T, to string) *valve {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &valve{ln: ln, over: make(chan struct{})}
	v.wg.Go(func() {
		for {
			a, err := ln.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				a.Close()
				continue
			}
			v.mu.Lock()
			v.conn = append(v.conn, a, b)
			v.mu.Unlock()
			v.wg.Go(func() { v.copy(a, b) })
			v.wg.Go(func() { v.copy(b, a) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		close(v.over)
		v.mu.Lock()
		for _, c := range v.conn {
			c.Close()
		}
		v.mu.Unlock()
		v.wg.Wait()
	})
	return v
}

func (v *valve) copy(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		v.mu.Lock()
		cut, full := v.cut, v.full
		v.mu.Unlock()
		if full {
			<-v.over
			return
		}
		if cut && err == nil {
			continue
		}
		if err != nil {
			if !cut {
				to.Close()
			}
			return
		}
		to.Write(b[:n])
	}
}

// jam makes what is on its way stay there.
func (v *valve) jam() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.full = true
}
