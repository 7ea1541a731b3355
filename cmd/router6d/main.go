// Command router6d is a userspace IPv6 router whose interfaces may die at any
// moment without anything going wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/router6d/router6d/internal/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "router6d:", err)
	var code exitError
	if errors.As(err, &code) {
		os.Exit(code.code)
	}
	os.Exit(exitFailed)
}

// Exit codes.
const (
	exitFailed = 1 // what was asked for was not done
	exitUsage  = 2 // the command line is wrong
)

// exitError is an error with an exit code of its own.
type exitError struct {
	error
	code int
}

// Unwrap gives the reason.
func (e exitError) Unwrap() error { return e.error }

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "router6d",
		Short:         "A userspace IPv6 router whose interfaces may die at any moment",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return exitError{fmt.Errorf("%w (see %s --help)", err, c.CommandPath()), exitUsage}
	})
	c.AddCommand(runCommand(), checkCommand(), interfaceCommand(), routeCommand(), showCommand(), lookupCommand(), demoCommand())
	return c
}

// args checks positional arguments, and makes a mistake one of usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, got []string) error {
		if err := check(c, got); err != nil {
			return exitError{fmt.Errorf("%w (see %s --help)", err, c.CommandPath()), exitUsage}
		}
		return nil
	}
}

// socketFlag adds --socket to a command that asks a running router.
func socketFlag(c *cobra.Command) *string {
	return c.PersistentFlags().String("socket", config.DefaultControl, "control socket of the router")
}
