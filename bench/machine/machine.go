// Package machine says on which machine something was measured, for the pages that tell it.
package machine

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// String names its CPUs and its kernel.
func String() string {
	cpu := "a machine"
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			cpu = strings.TrimSpace(value)
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	release, _, _ := strings.Cut(strings.TrimSpace(string(kernel)), "-")
	return fmt.Sprintf("%d × %s, Linux %s", runtime.NumCPU(), cpu, release)
}
