package demand

import "golang.org/x/sys/unix"

// The older calls, which newer machines never had.
func init() {
	for number, h := range map[int]how{
		unix.SYS_POLL: polls, unix.SYS_SELECT: selects, unix.SYS_EPOLL_WAIT: epolls,
		unix.SYS_PAUSE: nothing, unix.SYS_OPEN: nothing, unix.SYS_STAT: nothing, unix.SYS_FORK: nothing, unix.SYS_VFORK: nothing,
	} {
		calls[number] = h
	}
}
