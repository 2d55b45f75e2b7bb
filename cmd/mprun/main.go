// Mprun is any build, test or batch tool, spread over the nodes of a cluster.
package main

import (
	"os"

	"mexec/internal/drive"
)

func main() {
	os.Exit(drive.Run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
