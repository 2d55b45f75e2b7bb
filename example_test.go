package mexec_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"strings"
	"time"

	"mexec"
)

func ExampleCommand() {
	out, err := mexec.Command("echo", "from the best node").Output()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", out)
	// Output: from the best node
}

func ExampleCommand_exitStatus() {
	err := mexec.Command("sh", "-c", "exit 3").Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		fmt.Println("success")
	case errors.As(err, &exit) && exit.ExitCode() == mexec.LostStatus:
		fmt.Println("lost, or its own status")
	case errors.As(err, &exit):
		fmt.Println("it ended with", exit)
	default:
		fmt.Println("it could not be started:", err)
	}
	// Output: it ended with exit status 3
}

func ExampleCommand_pipes() {
	cmd := mexec.Command("tr", "a-z", "A-Z")
	in, err := cmd.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		defer in.Close()
		io.WriteString(in, "through a pipe and back\n")
	}()
	out, err := cmd.Output()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", out)
	// Output: THROUGH A PIPE AND BACK
}

// A command that takes too long is killed with all that it has started, wherever that runs.
func ExampleCommandContext() {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := mexec.CommandContext(ctx, "sleep", "60").Run()
	fmt.Println(err, "-", ctx.Err())
	// Output: signal: killed - context deadline exceeded
}

func ExampleOptions() {
	// Nodes 1 to 3 and those of the second rack. Where none of them is up, it runs here.
	rack := mexec.Options{Nodes: "1-3,rack2-[01-16]"}
	cmd := rack.Command("sort")
	cmd.Stdin = strings.NewReader("b\na\n")
	cmd.Stdout = os.Stdout
	if err := cmd.Run(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// a
	// b
}

func ExampleExec() {
	err := mexec.Exec("/no/such/program", []string{"program"}, os.Environ())
	fmt.Println(err) // it is still us: nothing was executed
	// Output: no such file or directory
}
