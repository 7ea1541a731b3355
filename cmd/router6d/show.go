package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/events"
)

// print writes v as JSON, or as a person likes it.
func print[T any](w io.Writer, asJSON bool, v T, forPeople func(io.Writer, T)) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	forPeople(w, v)
	return nil
}

func showCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "show", Short: "Show what a running router has and does"})
	socket := socketFlag(c)
	asJSON := c.PersistentFlags().Bool("json", false, "print JSON")
	c.AddCommand(
		show("interfaces", "Interfaces, with their state and traffic", socket, asJSON, (*control.Client).Interfaces, printInterfaces),
		show("routes", "Routes on offer, and why some are not used", socket, asJSON, (*control.Client).Routes, printRoutes),
		show("nexthops", "Targets of routes, and what they lead to now", socket, asJSON, (*control.Client).Nexthops, printNexthops),
		showNeighbors(socket, asJSON),
		show("pppoe", "PPPoE sessions: how they are, and how they ended", socket, asJSON, (*control.Client).Sessions, printSessions),
		show("connections", "The router's own TCP, and what it waits for", socket, asJSON, (*control.Client).Connections, printConnections),
		show("counters", "The account of all packets", socket, asJSON, (*control.Client).Counters, printCounters),
		show("drops", "Packets that ended here, by reason", socket, asJSON, (*control.Client).Drops, printDrops),
		show("fib", "Size and memory of the forwarding table", socket, asJSON, (*control.Client).FIB, printFIB),
		show("epoch", "Grace periods, detaches and the counters that prove them", socket, asJSON, (*control.Client).Epoch, printEpoch),
		showEvents(socket, asJSON),
		showHealth(socket, asJSON),
	)
	return c
}

func show[T any](what, short string, socket *string, asJSON *bool,
	get func(*control.Client, context.Context) (T, error), forPeople func(io.Writer, T),
) *cobra.Command {
	c := &cobra.Command{Use: what, Short: short, Args: operands(0, 0)}
	every := watchFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		client := control.NewClient(*socket)
		if *every == 0 {
			v, err := get(client, c.Context())
			if err != nil {
				return err
			}
			return print(c.OutOrStdout(), *asJSON, v, forPeople)
		}
		return watch(c.Context(), c.OutOrStdout(), *every, func(w io.Writer) error {
			v, err := get(client, c.Context())
			if err != nil {
				return err
			}
			if *asJSON {
				return json.NewEncoder(w).Encode(v) // one line each
			}
			forPeople(w, v)
			return nil
		})
	}
	return c
}

func showEvents(socket *string, asJSON *bool) *cobra.Command {
	c := &cobra.Command{Use: "events", Short: "The last events, oldest first", Args: operands(0, 0)}
	since := c.Flags().Uint64("since", 0, "only those after this sequence number")
	follow := c.Flags().BoolP("follow", "f", false, "go on with those to come, until the router ends")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *follow {
			if !c.Flags().Changed("since") {
				since = nil
			}
			return followEvents(c.Context(), c.OutOrStdout(), control.NewClient(*socket), since, *asJSON)
		}
		all, err := control.NewClient(*socket).Events(c.Context(), *since)
		if err != nil {
			return err
		}
		return print(c.OutOrStdout(), *asJSON, all, printEvents)
	}
	return c
}

// followEvents prints events as they come. To be told to stop is no error.
func followEvents(ctx context.Context, w io.Writer, client *control.Client, since *uint64, asJSON bool) error {
	err := client.Follow(ctx, since, func(e events.Event) error {
		if asJSON {
			return json.NewEncoder(w).Encode(e) // one line each
		}
		printEvent(w, e)
		return nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// table writes rows in columns. Their heads are separated by one space. A cell
// that is a list takes a line for each entry. A note stands on a line of its own,
// below the row before it.
func table(w io.Writer, head string, rows func(row func(cells ...any), note func(string))) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ReplaceAll(head, " ", "\t"))
	n, notes := 0, map[int]string{}
	rows(func(cells ...any) {
		for _, text := range spread(cells) {
			fmt.Fprintln(t, strings.Join(text, "\t"))
			n++
		}
	}, func(text string) { notes[n] = text })
	_ = t.Flush() // a Builder takes everything
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		fmt.Fprintln(w, strings.TrimRight(line, " "))
		if notes[i] != "" {
			fmt.Fprintln(w, "    "+notes[i])
		}
	}
}

// spread is the lines that a row takes: as many as its longest cell.
func spread(cells []any) (lines [][]string) {
	at := func(i, col int, text string) {
		for len(lines) <= i {
			lines = append(lines, make([]string, len(cells)))
		}
		lines[i][col] = text
	}
	for col, c := range cells {
		list, ok := c.([]string)
		if !ok {
			list = []string{fmt.Sprint(c)}
		}
		for i, text := range list {
			at(i, col, text)
		}
	}
	return lines
}

func printInterfaces(w io.Writer, all []control.Interface) {
	table(w, "ID NAME TYPE STATE FOR ORIGIN MTU DEVICE RX TX ADDRESSES", func(row func(...any), note func(string)) {
		for _, i := range all {
			row(i.ID, i.Name, i.Type, i.State, time.Since(i.Since).Round(time.Second), i.Origin, i.MTU, device(i),
				i.Traffic.RxPackets, i.Traffic.TxPackets, allAddresses(i))
			if i.Disabled {
				note(disabled)
			}
		}
	})
}

// disabled is said of an interface that takes no IPv6.
const disabled = "disabled: somebody else on the link has its hardware address"

func device(i control.Interface) string {
	switch {
	case i.VLAN != 0:
		return fmt.Sprintf("%s %d on %s", i.Protocol, i.VLAN, i.Lower)
	case i.Lower != "":
		return "on " + i.Lower
	case i.Netns != "":
		return i.Device + "@" + i.Netns
	}
	return i.Device
}

// allAddresses is those of each layer, a line each.
func allAddresses(i control.Interface) []string {
	all := strings.Split(addresses(i), ",")
	if i.MAC != "" {
		all = append(all, i.MAC)
	}
	return all
}

func addresses(i control.Interface) string {
	var all []string
	for _, a := range i.Addresses {
		all = append(all, a.String())
	}
	return strings.Join(all, ",")
}

func printRoutes(w io.Writer, all []control.Route) {
	table(w, "PREFIX SOURCE METRIC ORIGIN TARGET", func(row func(...any), note func(string)) {
		for _, r := range all {
			mark := "-"
			if r.Active {
				mark = "*"
			}
			row(mark+" "+r.Prefix.String(), r.Source, r.Metric, r.Origin, targets(r.Target))
			note(r.Reason)
		}
	})
}

// targets is the paths of a target, each to stand on a line of its own.
func targets(t string) []string { return strings.Split(strings.ReplaceAll(t, ", ", ",\n"), "\n") }

func printNexthops(w io.Writer, all []control.Nexthops) {
	table(w, "SLOT TARGET ROUTES NEXTHOPS", func(row func(...any), note func(string)) {
		for _, g := range all {
			var nhs []string
			for _, n := range g.Nexthops {
				nhs = append(nhs, nexthop(n, g.Target))
			}
			row(g.Slot, targets(g.Target), g.Routes, nhs)
			note(g.Reason)
		}
	})
}

func nexthop(n control.Nexthop, target string) string {
	text := fmt.Sprintf("%s#%d", n.Interface, n.ID)
	if n.Gateway != "" {
		text += " via " + n.Gateway
	}
	if n.Weight > 1 {
		text += fmt.Sprintf("*%d", n.Weight)
	}
	if n.HopLimit > 0 && !strings.Contains(target, " hop-limit ") { // it is that of the route to the gateway
		text += fmt.Sprintf(" hop-limit %d", n.HopLimit)
	}
	return text
}

// showNeighbors shows those on one interface, if it is named.
func showNeighbors(socket *string, asJSON *bool) *cobra.Command {
	var iface string
	get := func(client *control.Client, ctx context.Context) ([]control.Neighbors, error) {
		all, err := client.Neighbors(ctx)
		if err == nil && iface != "" {
			all = slices.DeleteFunc(all, func(n control.Neighbors) bool { return n.Interface != iface })
			if len(all) == 0 {
				err = fmt.Errorf("no interface %s with neighbors", iface)
			}
		}
		return all, err
	}
	c := show("neighbors", "Who is known on Ethernet links", socket, asJSON, get, printNeighbors)
	c.Use = "neighbors [IFACE]"
	c.Args = operands(0, 1)
	c.ValidArgsFunction = interfaces(socket)
	c.PreRun = func(_ *cobra.Command, names []string) {
		if len(names) > 0 {
			iface = names[0]
		}
	}
	return c
}

func printNeighbors(w io.Writer, all []control.Neighbors) {
	table(w, "INTERFACE ADDRESS MAC STATE FOR HELD", func(row func(...any), note func(string)) {
		for _, n := range all {
			for _, a := range n.Addresses {
				row(n.Interface, a.Address, "-", "own "+a.State, "-", "-")
			}
			for _, x := range n.Neighbors {
				state := x.State
				if x.Router {
					state += " router"
				}
				row(n.Interface, x.Address, cmp.Or(x.MAC, "-"), state, time.Since(x.Since).Round(time.Second), x.Held)
			}
			if n.Overloaded {
				note("more is asked for than is resolved")
			}
			if n.Disabled {
				note(disabled)
			}
		}
	})
}

func printSessions(w io.Writer, all []control.Session) {
	table(w, "INTERFACE STATE FOR SESSION PEER AC MTU AUTH IPV4", func(row func(...any), note func(string)) {
		for _, s := range all {
			session, mtu := "-", "-"
			if s.Session != 0 {
				session = fmt.Sprint(s.Session)
			}
			if s.MTU != 0 {
				mtu = fmt.Sprint(s.MTU)
			}
			row(s.Interface, s.Phase, time.Since(s.Since).Round(time.Second), session, cmp.Or(s.Peer, "-"), cmp.Or(s.AC, "-"), mtu, cmp.Or(s.Auth, "-"), cmp.Or(s.IPv4, "-"))
			if len(s.DNS) > 0 {
				note("DNS " + strings.Join(s.DNS, ", "))
			}
			if !s.Next.IsZero() {
				note("next try in " + max(0, time.Until(s.Next)).Round(time.Second).String())
			}
			for _, e := range s.History {
				note(ending(e))
			}
		}
	})
}

func printConnections(w io.Writer, all []control.Connection) {
	table(w, "LOCAL/REMOTE STATE/BY INTERFACE/RTT SENT/RECEIVED", func(row func(...any), note func(string)) {
		for _, c := range all {
			rtt := "-"
			if c.RTT > 0 {
				rtt = time.Duration(c.RTT * float64(time.Second)).Round(time.Microsecond).String()
			}
			row([]string{c.Local.String(), c.Remote.String()}, []string{c.State, c.Begun}, []string{cmp.Or(c.Interface, "-"), rtt},
				[]string{fmt.Sprint(c.Sent), fmt.Sprint(c.Received)})
			if c.WaitsFor != "" {
				note("has waited for " + time.Since(c.Since).Round(time.Second).String() + ": " + c.WaitsFor)
			}
		}
	})
}

// ending is how a session ended, in words.
func ending(e control.SessionEnd) string {
	text := e.Closed.Local().Format(time.DateTime) + " " + e.Cause
	if e.Text != "" {
		text += " (" + e.Text + ")"
	}
	if e.Lasted > 0 {
		return text + ", after " + time.Duration(e.Lasted*float64(time.Second)).Round(time.Second).String()
	}
	return text + ", never open"
}

func printCounters(w io.Writer, c control.Counters) {
	verdict := "balanced"
	if !c.Balanced {
		verdict = "NOT BALANCED"
	}
	fmt.Fprintf(w, "received    %12d\noriginated  %12d  %d ICMPv6 errors, %d more held back by the limit\n",
		c.Received, c.Originated, c.ICMPErrorsSent, c.ICMPErrorsLimited)
	fmt.Fprintf(w, "sent        %12d\nconsumed    %12d\ndropped     %12d\n", c.Sent, c.Consumed, c.Dropped)
	if c.Held > 0 {
		fmt.Fprintf(w, "held        %12d  for neighbors; %d are left\n", c.Held, max(0, int64(c.Held-c.Released))) // the two are not read at once
	}
	if r := c.Reassembly; r != (control.Reassembly{}) {
		fmt.Fprintf(w, "reassembled %12d  packets; %d timed out, %d refused, %d evicted; %d wait in %d bytes\n",
			r.Reassembled, r.TimedOut, r.Refused, r.Evicted, r.Held, r.Bytes)
	}
	fmt.Fprintf(w, "account     %12s  in %d batches\n", verdict, c.Batches)
}

func printDrops(w io.Writer, all []control.Drop) {
	table(w, "PACKETS REASON MEANING", func(row func(...any), _ func(string)) {
		for _, d := range all {
			if d.Packets > 0 {
				row(d.Packets, d.Reason, d.Text)
			}
		}
	})
}

func printFIB(w io.Writer, f control.FIB) {
	fmt.Fprintf(w, "generation  %12d\nprefixes    %12d\npairs       %12d\nslots       %12d\nnexthops    %12d\n",
		f.Generation, f.Prefixes, f.Pairs, f.Slots, f.Nexthops)
	fmt.Fprintf(w, "trie        %12d bytes, %d waiting for readers, %d idle\n", f.TrieBytes, f.WaitingBytes, f.IdleBytes)
	fmt.Fprintf(w, "pairs       %12d bytes\nper route   %12.1f bytes\n", f.PairBytes, f.BytesPerRoute)
}

func printEpoch(w io.Writer, e control.Epoch) {
	fmt.Fprintf(w, "lookup_dead_total        %d\n", e.LookupDeadTotal)
	fmt.Fprintf(w, "draining_tx_total        %d\n", e.DrainingTxTotal)
	fmt.Fprintf(w, "tx_deadfile_total        %d\n", e.DeadFileTxTotal)
	fmt.Fprintf(w, "admission_refused_total  %d\n", e.AdmissionRefusedTotal)
	fmt.Fprintf(w, "interfaces               %s\n", counts(e.Interfaces))
	fmt.Fprintf(w, "holders                  %s\n", counts(e.Holders))
	fmt.Fprintf(w, "attached                 %d\n", e.Attached)
	fmt.Fprintf(w, "detached                 %d clean, %d orphaned, %d orphans now\n", e.DetachClean, e.DetachOrphaned, e.Orphans)
	if e.DetachClean > 0 {
		fmt.Fprintf(w, "detach, means            withdraw %v, grace %v, holders %v, close %v\n", events.Seconds(e.Phases["withdraw"]),
			events.Seconds(e.Phases["grace"]), events.Seconds(e.Phases["hold"]), events.Seconds(e.Phases["close"]))
	}
	fmt.Fprintf(w, "epoch                    %d, %d readers\n", e.Epoch, e.Readers)
	fmt.Fprintf(w, "grace periods            %d, mean %v, longest %v\n", e.Graces, events.Seconds(e.GraceMeanSeconds), events.Seconds(e.GraceMaxSeconds))
	if e.Deferred > 0 {
		fmt.Fprintf(w, "waiting                  %d for %v, for %s\n", e.Deferred, events.Seconds(e.OldestSeconds), strings.Join(e.Slowest, ", "))
	}
	fmt.Fprintf(w, "fib                      generation %d, %d prefixes, %d pairs, %d slots, %d nexthops\n",
		e.Generation, e.Prefixes, e.Pairs, e.Slots, e.Nexthops)
	fmt.Fprintf(w, "loop                     %d turns in %v\n", e.Turns, events.Seconds(e.UptimeSeconds))
}

func printEvents(w io.Writer, all []events.Event) {
	for _, e := range all {
		printEvent(w, e)
	}
}

// columns is how wide a line may be for people.
const columns = 100

// printEvent writes an event on a line. One that is too long has its fields below.
func printEvent(w io.Writer, e events.Event) {
	head := fmt.Sprintf("%d %s %s %s", e.Seq, e.Time.Format("15:04:05.000"), e.Level, e.Event)
	details := events.Details(e.Fields)
	if whole := strings.TrimSuffix(head+" "+details, " "); utf8.RuneCountInString(whole) <= columns {
		fmt.Fprintln(w, whole)
		return
	}
	fmt.Fprintln(w, head)
	line := "   "
	for word := range strings.FieldsSeq(details) {
		if len(line) > 3 && utf8.RuneCountInString(line+" "+word) > columns {
			fmt.Fprintln(w, line)
			line = "   "
		}
		line += " " + word
	}
	fmt.Fprintln(w, line)
}
