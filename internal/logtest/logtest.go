// Package logtest is a log that a test can read while it is written.
package logtest

import (
	"bytes"
	"strings"
	"sync"
)

// Log keeps what is written to it. The zero value is ready; any goroutine may use it.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Count is how often it says so.
func (l *Log) Count(words string) int { return strings.Count(l.String(), words) }
