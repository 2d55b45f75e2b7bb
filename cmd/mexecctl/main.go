// Mexecctl makes a cluster of mexec nodes, lets machines in, empties nodes, and shows what runs where and why.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"mexec/internal/ctl"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := ctl.Run(ctx, ctl.Process())
	stop()
	os.Exit(code)
}
