// A tool as Go makes them: statically linked, with threads, and with children that share its memory until they execute something.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
)

func main() {
	switch verb, args := os.Args[1], os.Args[2:]; verb {
	case "run": // one after the other, separated by ";"
		for len(args) > 0 {
			n := 0
			for n < len(args) && args[n] != ";" {
				n++
			}
			fmt.Println(run(args[:n]))
			args = args[min(n+1, len(args)):]
		}
	case "many": // N at once, from as many threads
		n, _ := strconv.Atoi(args[0])
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				runtime.LockOSThread()
				if got := run(append(args[1:], strconv.Itoa(i))); got != "exit "+strconv.Itoa(i%100) {
					fmt.Println(i, got)
					os.Exit(1)
				}
			})
		}
		wg.Wait()
	case "growing": // N times without a word of chance in where the stack is, by some arguments more each time
		runtime.LockOSThread()
		const noRandomize = 0x40000
		syscall.RawSyscall(syscall.SYS_PERSONALITY, noRandomize, 0, 0)
		n, _ := strconv.Atoi(args[0])
		more := slices.Repeat([]string{"y"}, 20000)
		for range n {
			if got := run(append(args[1:], more...)); got != "exit 0" {
				fmt.Println(len(more), got)
			}
			more = append(more, slices.Repeat([]string{"y"}, 16)...)
		}
	case "exec": // in its own place
		fmt.Println(syscall.Exec(args[0], args, os.Environ()))
	}
}

func run(args []string) string {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err.Error()
	}
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signaled() {
		return "signal " + s.Signal().String()
	}
	return fmt.Sprint("exit ", cmd.ProcessState.ExitCode())
}
