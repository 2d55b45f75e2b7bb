package daemon

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// monitorSlack is how late the runtime's monitor may be. A thread that it begins may be as late, and with it a timer of ours; Go counts those that a thread waits for in the kernel in milliseconds anyway.
const monitorSlack = time.Millisecond

// relaxMonitor gives the thread of Go's runtime that watches its processors (sysmon) a coarser clock.
//
// It sleeps for 20 µs at a time as long as a processor is in use, which for a daemon that a command wakes for some 100 µs at a time is ten timers and ten context switches per command, on the CPUs
// that the command needs. It takes the processor from a goroutine in a system call, too, and gives it to another thread: with 20 µs that happens in the midst of a write to a socket. There is no setting for that, but a
// thread's sleeps may be made less exact from outside, which needs CAP_SYS_NICE: a daemon without goes on as it is.
//
// It is the first thread that the runtime makes, and so the second in the kernel's list. Should that ever be another one, then that one's timers are late and nothing else.
func relaxMonitor() error {
	dir, err := os.Open("/proc/self/task")
	if err != nil {
		return err
	}
	defer dir.Close()
	threads, err := dir.Readdirnames(2) // in the kernel's order
	if err == nil && len(threads) < 2 {
		err = errors.New("one thread only")
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", dir.Name(), err)
	}
	return os.WriteFile("/proc/"+threads[1]+"/timerslack_ns", strconv.AppendInt(nil, monitorSlack.Nanoseconds(), 10), 0)
}
