// Command hydrastore is a node of a clustered session store, and the command line for it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/hydrastore/hydrastore/cmd/internal/cli"
)

// version is set by the linker in release builds; others ask the build information.
var version string

func main() { os.Exit(run()) }

// run ends with the first SIGINT or SIGTERM in good order; a second one ends the process at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	program := cli.Program{
		Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Version: version,
	}
	return program.Run(ctx)
}
