package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/router6d/router6d/internal/control"
)

func lookupCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "lookup ADDRESS",
		Short: "Where a running router sends a packet, and why",
		Args:  operands(1, 1),
	}
	socket := socketFlag(c)
	from := c.Flags().String("from", "", "source address: picks one of several paths")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, to []string) error {
		l, err := control.NewClient(*socket).Lookup(c.Context(), to[0], *from)
		if err != nil {
			return err
		}
		return print(c.OutOrStdout(), *asJSON, l, printLookup)
	}
	return c
}

func printLookup(w io.Writer, l control.Lookup) {
	fmt.Fprintf(w, "%s: %s", l.Address, l.Verdict)
	if l.Interface != "" {
		fmt.Fprintf(w, " dev %s", l.Interface)
	}
	if l.Gateway != "" {
		fmt.Fprintf(w, " via %s", l.Gateway)
	}
	fmt.Fprintln(w)
	if l.Interface != "" {
		fmt.Fprintf(w, "  mtu %d, hop limit %d, source %s\n", l.MTU, l.HopLimit, l.Source)
	}
	for i, s := range l.Steps {
		word := "passed over"
		if i == len(l.Steps)-1 {
			word = "answers"
		}
		fmt.Fprintf(w, "  %s %s: %s", s.Prefix, word, s.Target)
		if s.Source != "" {
			fmt.Fprintf(w, " (%s, metric %d)", s.Source, s.Metric)
		}
		if s.Reason != "" {
			fmt.Fprintf(w, ": %s", s.Reason)
		}
		fmt.Fprintln(w)
	}
}
