package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/events"
)

func interfaceCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "interface", Aliases: []string{"if"}, Short: "Add and delete interfaces of a running router"})
	socket := socketFlag(c)
	c.AddCommand(interfaceAdd(socket), interfaceDel(socket))
	return c
}

func interfaceAdd(socket *string) *cobra.Command {
	c := &cobra.Command{
		Use:     "add NAME",
		Short:   "Make an interface",
		Example: "  router6d interface add green --address 2001:db8:3::1/64 --netns green --kernel-address 2001:db8:3::2/64 --kernel-route ::/0",
		Args:    operands(1, 1),
	}
	f := c.Flags()
	kind := f.String("type", "", "tun, tap, packet, vlan, pppoe or ipv4 (default tun)")
	mode := f.String("mode", "", "create or attach (default create)")
	recreate := f.Bool("recreate", false, "make it again when someone else deletes it")
	mtu := f.Int("mtu", 0, "MTU (default 1500)")
	hopLimit := f.Int("hop-limit", 0, "hop limit of the router's own packets (default 64)")
	silent := f.Bool("no-unreachables", false, "who sends in here is not told that something could not be delivered")
	mac := f.String("mac", "", "MAC address of the router's own (tap: default one that stays the same; packet: default the link's)")
	lower := f.String("lower", "", "interface that it is on (vlan, pppoe, ipv4)")
	vlan := f.Int("vlan", 0, "VLAN ID on the lower interface (vlan)")
	protocol := f.String("protocol", "", "802.1q or 802.1ad (vlan; default 802.1q)")
	queues := f.Int("queues", 0, "workers that read from it (default by the number of CPUs)")
	user := f.String("user", "", "who dials in (pppoe)")
	passwordFile := f.String("password-file", "", "file with the password (pppoe)")
	service := f.String("service", "", "service to ask for (pppoe; default any)")
	ac := f.String("ac", "", "name of the access concentrator (pppoe; default any)")
	identity := f.String("identity", "", "keep or renew: what becomes of the interface when its session ends (pppoe; default keep)")
	defaultRoute := f.Bool("default-route", false, "the kernel's default route for IPv4 leads to it (ipv4)")
	addresses := f.StringSlice("address", nil, "the router's own address on it, with length; may be repeated")
	netns := f.String("netns", "", "network namespace of the kernel's end: a name, a path or pid:N")
	kernelMAC := f.String("kernel-mac", "", "MAC address of the kernel's end (tap; default one that stays the same)")
	kernelAddresses := f.StringSlice("kernel-address", nil, "address of the kernel's end, with length; may be repeated")
	kernelRoutes := f.StringSlice("kernel-route", nil, "prefix that the kernel routes into it; may be repeated")
	queue := f.Int("txqueuelen", 0, "queue of the kernel's end (default 10000)")
	complete(c, "type", cobra.FixedCompletions(words(config.TypeTUN, config.TypeTAP, config.TypePacket, config.TypeVLAN, config.TypePPPoE, config.TypeIPv4), cobra.ShellCompDirectiveNoFileComp))
	complete(c, "lower", interfaces(socket))
	complete(c, "protocol", cobra.FixedCompletions(words(config.Protocol8021Q, config.Protocol8021AD), cobra.ShellCompDirectiveNoFileComp))
	complete(c, "identity", cobra.FixedCompletions(words(config.IdentityKeep, config.IdentityRenew), cobra.ShellCompDirectiveNoFileComp))
	complete(c, "mode", cobra.FixedCompletions(words(config.ModeCreate, config.ModeAttach), cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, names []string) error {
		kernel := given(map[string]any{
			"netns": *netns, "mac": *kernelMAC, "addresses": *kernelAddresses, "routes": *kernelRoutes, "txqueuelen": *queue,
		})
		settings := given(map[string]any{
			"type": *kind, "mode": *mode, "recreate": *recreate, "mtu": *mtu, "hop-limit": *hopLimit,
			"queues": *queues, "mac": *mac, "lower": *lower, "vlan": *vlan, "protocol": *protocol, "addresses": *addresses,
			"user": *user, "password-file": *passwordFile, "service": *service, "ac": *ac, "identity": *identity,
			"default-route": *defaultRoute,
		})
		if *silent {
			settings["unreachables"] = false
		}
		if len(kernel) > 0 {
			settings["kernel"] = kernel
		}
		return control.NewClient(*socket).AddInterface(c.Context(), names[0], settings)
	}
	return c
}

// given leaves out what was not said on the command line.
func given(all map[string]any) map[string]any {
	maps.DeleteFunc(all, func(_ string, v any) bool {
		switch v := v.(type) {
		case string:
			return v == ""
		case int:
			return v == 0
		case bool:
			return !v
		case []string:
			return len(v) == 0
		}
		return false
	})
	return all
}

func interfaceDel(socket *string) *cobra.Command {
	c := &cobra.Command{
		Use:   "del NAME",
		Short: "Detach an interface and print the ledger",
		Args:  operands(1, 1),
	}
	c.ValidArgsFunction = one(interfaces(socket))
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, names []string) error {
		l, err := control.NewClient(*socket).DeleteInterface(c.Context(), names[0])
		if err != nil {
			return err
		}
		if err := print(c.OutOrStdout(), *asJSON, l, printLedger); err != nil {
			return err
		}
		if l.Result != "clean" {
			return fmt.Errorf("interface %s: %s", l.Name, l.Result)
		}
		return nil
	}
	return c
}

func printLedger(w io.Writer, l control.Ledger) {
	fmt.Fprintf(w, "%s (id %d) detached %s: %s\n", l.Name, l.ID, l.Result, l.Cause)
	fmt.Fprintf(w, "  withdraw  %9s  %d routes lost it, %d slots rewritten\n", events.Seconds(l.WithdrawSeconds), l.Routes, l.Slots)
	fmt.Fprintf(w, "  grace     %9s  %d readers asked\n", events.Seconds(l.GraceSeconds), l.Readers)
	fmt.Fprintf(w, "  holders   %9s  %d packets purged\n", events.Seconds(l.HoldSeconds), l.Purged)
	fmt.Fprintf(w, "  close     %9s  in the kernel\n", events.Seconds(l.CloseSeconds))
	fmt.Fprintf(w, "  total     %9s\n", events.Seconds(l.TotalSeconds))
	if len(l.Holders) > 0 {
		fmt.Fprintf(w, "  held by   %s\n", counts(l.Holders))
	}
	if len(l.Waiting) > 0 {
		fmt.Fprintf(w, "  late      %s\n", strings.Join(l.Waiting, ", "))
	}
	if l.Error != "" {
		fmt.Fprintf(w, "  error     %s\n", l.Error)
	}
}

// counts lists numbers by name.
func counts[N int | int64](all map[string]N) string {
	var text []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		text = append(text, fmt.Sprintf("%s %d", name, all[name]))
	}
	if text == nil {
		return "none"
	}
	return strings.Join(text, ", ")
}
