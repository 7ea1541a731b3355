// Command router6d is a userspace IPv6 router whose interfaces may die at any
// moment without anything going wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/metrics"
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
	c := group(&cobra.Command{
		Use:   "router6d",
		Short: "A userspace IPv6 router whose interfaces may die at any moment",
		Long: "A userspace IPv6 router whose interfaces may die at any moment.\n\n" +
			"What was asked for goes to standard output, errors and hints go to standard\n" +
			"error. Exit codes: 0 done, 1 not done, 2 the command line is wrong. --version tells\n" +
			"what was built, from what.",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	})
	c.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	c.SetFlagErrorFunc(usage)
	c.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	c.AddCommand(runCommand(), checkCommand(), interfaceCommand(), routeCommand(), showCommand(), lookupCommand(), reloadCommand(), logLevelCommand(), captureCommand(), demoCommand())
	return c
}

// version is what was built, from what, with what.
func version() string {
	v, revision := metrics.Build()
	return fmt.Sprintf("%s, revision %s, %s", v, revision, runtime.Version())
}

// usage makes an error one of the command line.
func usage(c *cobra.Command, err error) error {
	return exitError{fmt.Errorf("%w (see %s --help)", err, c.CommandPath()), exitUsage}
}

// args checks positional arguments, and makes a mistake one of usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, got []string) error {
		if err := check(c, got); err != nil {
			return usage(c, err)
		}
		return nil
	}
}

// operands takes so many arguments.
func operands(least, most int) cobra.PositionalArgs {
	return args(func(c *cobra.Command, got []string) error {
		switch {
		case len(got) < least:
			return fmt.Errorf("an argument is missing: %s", c.UseLine())
		case len(got) > most:
			return fmt.Errorf("%q is one argument too many: %s", got[most], c.UseLine())
		}
		return nil
	})
}

// group makes c a command that holds others. Alone it shows its help.
func group(c *cobra.Command) *cobra.Command {
	c.SuggestionsMinimumDistance = 2 // letters that may be wrong
	c.Args = args(known)
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return c
}

// known refuses a command that its group does not hold.
func known(c *cobra.Command, got []string) error {
	if len(got) == 0 {
		return nil
	}
	if near := c.SuggestionsFor(got[0]); len(near) > 0 {
		return fmt.Errorf("unknown command %q, did you mean %s?", got[0], strings.Join(near, " or "))
	}
	return fmt.Errorf("unknown command %q", got[0])
}

// socketFlag adds --socket to a command that asks a running router.
func socketFlag(c *cobra.Command) *string {
	socket := c.PersistentFlags().String("socket", config.DefaultControl, "control socket of the router")
	complete(c, "socket", files)
	return socket
}
