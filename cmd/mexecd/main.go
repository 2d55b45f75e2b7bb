// Mexecd is the daemon of a node: it sends this node's commands to others, and runs theirs.
package main

import (
	"os"

	"mexec/internal/archive"
	"mexec/internal/daemon"
)

func main() {
	keeper := func(state string) daemon.Keeper { return archive.New(state) }
	os.Exit(daemon.Main(os.Args[1:], os.Getenv, os.Stdout, os.Stderr, keeper))
}
