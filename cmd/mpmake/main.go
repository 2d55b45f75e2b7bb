// Mpmake is GNU make, spread over the nodes of a cluster.
package main

import (
	"os"

	"mexec/internal/mpmake"
)

func main() {
	os.Exit(mpmake.Main(os.Args[1:], os.Environ(), os.Stderr))
}
