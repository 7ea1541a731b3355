package main

import (
	"github.com/spf13/cobra"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/control"
)

// interfaces completes names of interfaces, as the router has them. Without an
// answer there is nothing to complete.
func interfaces(socket *string) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
		all, err := control.NewClient(*socket).Interfaces(c.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		for _, i := range all {
			names = append(names, cobra.CompletionWithDesc(i.Name, i.State+" "+addresses(i)))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// ways completes the beginning of --path.
func ways(socket *string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, text string) (all []cobra.Completion, _ cobra.ShellCompDirective) {
		names, directive := interfaces(socket)(c, args, text)
		for _, n := range names {
			all = append(all, "dev="+n)
		}
		return append(all, "via="), directive | cobra.ShellCompDirectiveNoSpace
	}
}

// routes completes prefixes of static routes.
func routes(socket *string) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) (prefixes []cobra.Completion, _ cobra.ShellCompDirective) {
		all, err := control.NewClient(*socket).Routes(c.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		for _, r := range all {
			if r.Source == "static" {
				prefixes = append(prefixes, cobra.CompletionWithDesc(r.Prefix.String(), r.Target))
			}
		}
		return prefixes, cobra.ShellCompDirectiveNoFileComp
	}
}

// one completes the first argument and no other.
func one(first cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return first(c, args, text)
	}
}

// files completes names of files.
func files(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// complete has a flag completed.
func complete(c *cobra.Command, flag string, by cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, by); err != nil {
		panic("router6d: complete --" + flag + ": " + err.Error()) // there is no such flag
	}
}

func words[T ~string](all ...T) (out []cobra.Completion) {
	for _, w := range all {
		out = append(out, string(w))
	}
	return out
}

// levels completes those of the log.
var levels = cobra.FixedCompletions(
	words(config.LevelDebug, config.LevelInfo, config.LevelWarn, config.LevelError), cobra.ShellCompDirectiveNoFileComp)
