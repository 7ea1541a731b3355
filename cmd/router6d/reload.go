package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/control"
)

func reloadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have a running router apply its configuration file anew",
		Long: "Have a running router apply its configuration file anew, all of it or nothing.\n" +
			"What was added at run time stays. SIGHUP does the same.",
		Args: operands(0, 0),
	}
	socket := socketFlag(c)
	dry := c.Flags().Bool("dry-run", false, "only tell what would change")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		changes, err := control.NewClient(*socket).Reload(c.Context(), *dry)
		if err != nil {
			return err
		}
		return print(c.OutOrStdout(), *asJSON, changes, printChanges)
	}
	return c
}

func printChanges(w io.Writer, changes []control.Change) {
	if len(changes) == 0 {
		fmt.Fprintln(w, "nothing to change")
	}
	for _, c := range changes {
		fmt.Fprintf(w, "%-6s  %s", c.Action, c.What)
		if c.Detail != "" {
			fmt.Fprintf(w, ": %s", c.Detail)
		}
		fmt.Fprintln(w)
	}
}

func logLevelCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "log-level [LEVEL]",
		Short: "Show or change the level of a running router's log",
		Args:  operands(0, 1),
	}
	c.ValidArgsFunction = one(levels)
	socket := socketFlag(c)
	c.RunE = func(c *cobra.Command, got []string) error {
		level := ""
		if len(got) == 1 {
			l, err := config.ParseLevel(got[0])
			if err != nil {
				return usage(c, err)
			}
			level = string(l)
		}
		now, err := control.NewClient(*socket).LogLevel(c.Context(), level)
		if err == nil {
			_, err = fmt.Fprintln(c.OutOrStdout(), now)
		}
		return err
	}
	return c
}
