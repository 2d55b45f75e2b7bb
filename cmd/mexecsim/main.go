// Mexecsim simulates placement on clusters of 2 to 10,000 nodes: see docs/placement.
package main

import (
	"os"

	"mexec/internal/simtest"
)

func main() { os.Exit(simtest.Main(os.Args[1:], os.Stdout, os.Stderr)) }
