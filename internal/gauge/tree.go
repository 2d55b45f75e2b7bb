package gauge

import (
	"bytes"
	"math"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// What processes have used. Refused for memory: the peak of their control group, which counts the pages of each file that they have read. The kernel drops
// those when it must, and to hold memory for them would be to hold it for nothing.

// big is how much memory of its own makes a process worth a closer look.
const big = 64 << 20

// Resident is how much memory some processes have together, in bytes. What they share counts once, as far as that can be told cheaply: of memory that is not
// theirs alone the largest part, and where several are big, which may be copies of one by fork, each page by its share. Those that are gone count nothing.
func Resident(pids []int) (sum int64) {
	var shared int64
	own := make([]int64, len(pids))
	bigs := 0
	for i, pid := range pids {
		resident, common := statm(pid)
		shared = max(shared, common)
		own[i] = resident - common
		if own[i] > big {
			bigs++
		}
	}
	for i, pid := range pids {
		if own[i] > big && bigs > 1 {
			if part, ok := proportional(pid); ok {
				own[i] = min(own[i], part)
			}
		}
		sum += own[i]
	}
	return sum + shared
}

// statm is how much memory a process has, and how much of that is files and what is mapped by several.
func statm(pid int) (resident, common int64) {
	var room [128]byte
	f := bytes.Fields(proc(pid, "statm", room[:]))
	if len(f) < 3 {
		return 0, 0
	}
	page := int64(os.Getpagesize())
	return integer(f[1]) * page, integer(f[2]) * page
}

// proportional counts a page that is mapped by n processes as 1/n: the kernel goes through all of them for it.
func proportional(pid int) (int64, bool) {
	var room [2048]byte
	kb, ok := field(string(proc(pid, "smaps_rollup", room[:])), "Pss_Anon:")
	return kb << 10, ok
}

// CPU is the CPU time of a process and of those that it has waited for. One that has ended and was not waited for still has it, and
// then status is as wait4 gives it.
func CPU(pid int) (used time.Duration, status unix.WaitStatus, ok bool) {
	var room [1024]byte
	b := proc(pid, "stat", room[:])
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:]) // the name before it may hold anything
	if len(f) < 50 {
		return 0, 0, false
	}
	ticks := integer(f[11]) + integer(f[12]) + integer(f[13]) + integer(f[14])
	return time.Duration(ticks) * (time.Second / 100), unix.WaitStatus(integer(f[49])), true // USER_HZ, on every machine that Go runs on
}

// proc reads one of the short files of a process, without the dozen steps of an os.File.
func proc(pid int, name string, room []byte) []byte {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, room)
	if err != nil {
		return nil
	}
	return room[:n]
}

func integer(b []byte) (n int64) {
	for _, c := range b {
		if c < '0' || c > '9' || n > math.MaxInt64/16 {
			return 0
		}
		n = 10*n + int64(c-'0')
	}
	return n
}
