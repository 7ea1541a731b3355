package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/control"
)

func routeCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "route", Short: "Add and delete static routes of a running router"})
	socket := socketFlag(c)
	c.AddCommand(routeAdd(socket), routeDel(socket))
	return c
}

func routeAdd(socket *string) *cobra.Command {
	c := &cobra.Command{
		Use:   "add PREFIX",
		Short: "Offer a route",
		Example: "  router6d route add 2001:db8:9::/48 --dev red\n" +
			"  router6d route add ::/0 --path dev=red,weight=2 --path dev=blue,via=fe80::1\n" +
			"  router6d route add 2001:db8:a::/48 --via 2001:db8:1::2 --hop-limit 32\n" +
			"  router6d route add 2001:db8:f::/48 --refuse prohibit",
		Args: operands(1, 1),
	}
	f := c.Flags()
	dev := f.String("dev", "", "interface")
	via := f.String("via", "", "gateway")
	paths := f.StringArray("path", nil, "one of several ways, as dev=red,via=fe80::1,weight=2; may be repeated")
	refuse := f.String("refuse", "", "unreachable, prohibit or blackhole")
	metric := f.Uint32("metric", 0, "the smaller one is preferred")
	hopLimit := f.Int("hop-limit", 0, "hop limit of the router's own packets (default that of the interface)")
	c.RunE = func(c *cobra.Command, prefixes []string) error {
		route := given(map[string]any{
			"dev": *dev, "via": *via, "refuse": *refuse, "metric": int(*metric), "hop-limit": *hopLimit,
		})
		route["prefix"] = prefixes[0]
		for _, text := range *paths {
			p, err := config.ParsePath(text)
			if err != nil {
				return exitError{err, exitUsage}
			}
			all, _ := route["paths"].([]map[string]any)
			route["paths"] = append(all, pathSettings(p))
		}
		o, err := control.NewClient(*socket).AddRoute(c.Context(), route)
		if err == nil && o.Hint != "" {
			fmt.Fprintf(c.ErrOrStderr(), "router6d: %s: %s\n", prefixes[0], o.Hint)
		}
		return err
	}
	complete(c, "dev", interfaces(socket))
	complete(c, "path", ways(socket))
	complete(c, "refuse", cobra.FixedCompletions(words(config.RefuseUnreachable, config.RefuseProhibit, config.RefuseBlackhole), cobra.ShellCompDirectiveNoFileComp))
	return c
}

// pathSettings is a path as it stands in a file.
func pathSettings(p config.Path) map[string]any {
	s := given(map[string]any{"dev": p.Dev, "weight": p.Weight})
	if p.Via.IsValid() {
		s["via"] = p.Via.String()
	}
	return s
}

func routeDel(socket *string) *cobra.Command {
	c := &cobra.Command{
		Use:   "del PREFIX",
		Short: "Take back a route",
		Args:  operands(1, 1),
	}
	c.ValidArgsFunction = one(routes(socket))
	metric := c.Flags().Uint32("metric", 0, "of the route")
	c.RunE = func(c *cobra.Command, prefixes []string) error {
		return control.NewClient(*socket).DeleteRoute(c.Context(), prefixes[0], strconv.FormatUint(uint64(*metric), 10))
	}
	return c
}
