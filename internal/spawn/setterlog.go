package spawn

import (
	"bufio"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

// setterLog takes what environment setters print, line by line, to the daemon's log. There is one for all jobs, made when the first needs it.
type setterLog struct {
	log *slog.Logger

	mu     sync.Mutex
	read   *os.File
	write  int
	reader sync.WaitGroup
}

const longestLine = 1 << 10

func openSetterLog(log *slog.Logger) *setterLog { return &setterLog{log: log, write: -1} }

// fd is the end that scripts write to: a blocking one, so not of os.Pipe. Where it can't be had, their output is lost and no job is: it
// goes to null.
func (l *setterLog) fd(null int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.write >= 0 {
		return l.write
	}
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		l.log.Error("environment setter's log", "err", err)
		return null
	}
	syscall.SetNonblock(pipe[0], true)
	l.read, l.write = os.NewFile(uintptr(pipe[0]), "environment setter's log"), pipe[1]
	l.reader.Go(l.copy)
	return l.write
}

func (l *setterLog) copy() {
	r := bufio.NewReaderSize(l.read, longestLine)
	for {
		line, more, err := r.ReadLine()
		if err != nil {
			return
		}
		l.log.Info("environment setter", "says", string(line), "cut", more)
		for more && err == nil {
			_, more, err = r.ReadLine()
		}
	}
}

// close is called when no job is left. A script's process that has escaped us must not hold us.
func (l *setterLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.write >= 0 {
		syscall.Close(l.write)
		l.read.SetReadDeadline(time.Now().Add(time.Second))
		l.reader.Wait()
		l.read.Close()
	}
}
