package spawn

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// forkServer is the process of which stages are forks (libmexec/forkserver.c). They are this program's children all the same.
//
// Go's own way to start one was refused: from the fork to the child's execve it holds one of the daemon's processors, and with it whatever
// waits there. One that was killed by somebody is started again.
type forkServer struct {
	stage string

	mu   sync.Mutex // guards the rest: an answer belongs to the request before it
	pid  int
	conn *os.File
	shut bool
}

func startForkServer(stage string) (*forkServer, error) {
	f := &forkServer{stage: stage}
	return f, f.start()
}

func (f *forkServer) start() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("fork server: socketpair: %w", err)
	}
	none := ^uintptr(0)
	f.pid, err = syscall.ForkExec(f.stage, []string{"mexec-stage", "--forkserver"}, &syscall.ProcAttr{
		Env:   []string{},
		Files: []uintptr{none, none, none, uintptr(pair[1])},
	})
	unix.Close(pair[1])
	if err == nil {
		err = unix.SetNonblock(pair[0], true)
	}
	if err != nil {
		unix.Close(pair[0])
		return fmt.Errorf("fork server: start %s: %w", f.stage, err)
	}
	f.conn = os.NewFile(uintptr(pair[0]), "fork server")
	return nil
}

// fork makes a stage with that channel, in the group of that directory if it is not -1.
func (f *forkServer) fork(channel, group int) (pid, pidfd int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shut {
		return 0, -1, ErrClosed
	}
	pid, pidfd, err = f.ask(channel, group)
	if errors.Is(err, errForkServer) {
		f.end()
		if err = f.start(); err == nil {
			pid, pidfd, err = f.ask(channel, group)
		}
	}
	return pid, pidfd, err
}

var errForkServer = errors.New("fork server: gone")

func (f *forkServer) ask(channel, group int) (pid, pidfd int, err error) {
	fds := []int{channel}
	if group >= 0 {
		fds = append(fds, group)
	}
	conn, err := f.conn.SyscallConn()
	if err != nil {
		return 0, -1, err
	}
	var serr error
	err = conn.Write(func(fd uintptr) bool {
		serr = unix.Sendmsg(int(fd), []byte{0}, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
		return serr != unix.EAGAIN
	})
	if err != nil || serr != nil {
		return 0, -1, errForkServer
	}
	var answer [4]byte
	var oob [64]byte
	n, oobn := 0, 0
	err = conn.Read(func(fd uintptr) bool {
		n, oobn, _, _, serr = unix.Recvmsg(int(fd), answer[:], oob[:], unix.MSG_CMSG_CLOEXEC)
		return serr != unix.EAGAIN
	})
	if err != nil || serr != nil || n != len(answer) {
		return 0, -1, errForkServer
	}
	pid = int(int32(le.Uint32(answer[:])))
	if pid < 0 {
		return 0, -1, fmt.Errorf("fork stage: %w", syscall.Errno(-pid))
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err == nil && len(msgs) == 1 {
		fds, err = unix.ParseUnixRights(&msgs[0])
	}
	if err != nil || len(msgs) != 1 || len(fds) != 1 {
		syscall.Kill(pid, syscall.SIGKILL)
		syscall.Wait4(pid, nil, 0, nil)
		return 0, -1, errors.New("fork stage: no process descriptor: this process can hold no more")
	}
	return pid, fds[0], nil
}

// ring makes a child of this process go on and stop, for who waits for such news.
func (f *forkServer) ring() {
	f.mu.Lock()
	defer f.mu.Unlock()
	var dead unix.Siginfo
	if !f.shut && unix.Waitid(unix.P_PID, f.pid, &dead, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == nil && dead.Signo != 0 { // somebody has killed it
		f.end()
		f.shut = f.start() != nil
	}
	if !f.shut {
		syscall.Kill(f.pid, syscall.SIGCONT)
		syscall.Kill(f.pid, syscall.SIGSTOP)
	}
}

// end lets the server go: it ends when nobody holds the other side.
func (f *forkServer) end() {
	f.conn.Close()
	syscall.Kill(f.pid, syscall.SIGCONT)
	for {
		if _, err := syscall.Wait4(f.pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

func (f *forkServer) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.shut {
		f.shut = true
		f.end()
	}
}
