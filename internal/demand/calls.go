package demand

import "golang.org/x/sys/unix"

// calls says what a blocked system call waits for. One that is not listed may wait for anything.
var calls = map[int]how{
	unix.SYS_READ: counted, unix.SYS_READV: first, unix.SYS_RECVFROM: first, unix.SYS_RECVMSG: first, unix.SYS_RECVMMSG: first,
	unix.SYS_SPLICE: first, unix.SYS_TEE: first, unix.SYS_SENDFILE: second, unix.SYS_PREADV2: first,
	unix.SYS_PPOLL: polls, unix.SYS_PSELECT6: selects, unix.SYS_EPOLL_PWAIT: epolls, unix.SYS_EPOLL_PWAIT2: epolls,

	unix.SYS_WAIT4: nothing, unix.SYS_WAITID: nothing, unix.SYS_NANOSLEEP: nothing, unix.SYS_CLOCK_NANOSLEEP: nothing,
	unix.SYS_FUTEX: nothing, unix.SYS_RT_SIGSUSPEND: nothing, unix.SYS_RT_SIGTIMEDWAIT: nothing,
	unix.SYS_WRITE: nothing, unix.SYS_WRITEV: nothing, unix.SYS_PWRITE64: nothing, unix.SYS_PREAD64: nothing, unix.SYS_SENDTO: nothing,
	unix.SYS_SENDMSG: nothing, unix.SYS_FSYNC: nothing, unix.SYS_FDATASYNC: nothing, unix.SYS_OPENAT: nothing,
	unix.SYS_CONNECT: nothing, unix.SYS_ACCEPT: nothing, unix.SYS_ACCEPT4: nothing, unix.SYS_FLOCK: nothing, unix.SYS_FCNTL: nothing,
	unix.SYS_EXECVE: nothing, unix.SYS_CLONE: nothing, unix.SYS_CLONE3: nothing, unix.SYS_MMAP: nothing, unix.SYS_MUNMAP: nothing,
	unix.SYS_BRK: nothing, unix.SYS_UNLINKAT: nothing, unix.SYS_NEWFSTATAT: nothing, unix.SYS_STATX: nothing,
	unix.SYS_EXIT: nothing, unix.SYS_EXIT_GROUP: nothing,
}
