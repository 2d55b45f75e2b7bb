// Mpmake is GNU make, spread over the nodes of a cluster.
package main

import (
	"os"

	"mexec/internal/drive"
)

func main() {
	os.Exit(drive.Make(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
