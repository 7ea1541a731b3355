package control

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/router"
	"github.com/router6d/router6d/pppoe"
	"github.com/router6d/router6d/rib"
)

func showInterfaces(r *router.Router, t *loop.Turn) []Interface {
	all := []Interface{}
	for _, in := range r.Interfaces.All(t) {
		all = append(all, Interface{
			ID: uint64(in.ID), Name: in.Name, Type: string(in.Type), Origin: origin(in), State: in.State.String(), Disabled: in.Disabled, Since: in.Since,
			Device: in.Device.Name, Netns: in.Device.Netns, Lower: in.Lower,
			VLAN: in.VLAN.ID, Protocol: string(in.VLAN.Protocol),
			MAC: mac(in.MAC), MTU: in.MTU, HopLimit: in.HopLimit, Addresses: in.Addresses,
			Holders: in.Held, Traffic: showTraffic(in.Traffic),
		})
	}
	return all
}

func origin(in ifmgr.Info) string {
	if in.FromFile {
		return rib.FromFile.String()
	}
	return rib.Runtime.String()
}

// mac is an address, or nothing.
func mac(a config.MAC) string {
	if a == (config.MAC{}) {
		return ""
	}
	return a.String()
}

func showTraffic(c *ifmgr.Traffic) Traffic {
	return Traffic{
		RxPackets: c.RxPackets.Load(), RxBytes: c.RxBytes.Load(),
		TxPackets: c.TxPackets.Load(), TxBytes: c.TxBytes.Load(), TxErrors: c.TxErrors.Load(),
		RxMissed: c.RxMissed.Load(),
	}
}

func showRoutes(r *router.Router, t *loop.Turn) []Route {
	all := []Route{}
	for s := range r.RIB.All(t) {
		all = append(all, Route{
			Prefix: s.Prefix, Source: s.Source.String(), Metric: s.Metric, Origin: s.Origin.String(),
			Target: s.Target.String(), Active: s.Active, Reason: s.Reason,
		})
	}
	return all
}

func showNexthops(r *router.Router, t *loop.Turn) []Nexthops {
	all := []Nexthops{}
	for _, g := range r.RIB.Nexthops(t) {
		n := Nexthops{Slot: uint32(g.Slot), Target: g.Target.String(), Routes: g.Routes, Nexthops: []Nexthop{}, Reason: g.Reason}
		for _, nh := range g.Nexthops {
			n.Nexthops = append(n.Nexthops, Nexthop{nh.Name(), uint64(nh.ID()), text(nh.Gateway()), nh.Weight(), nh.RouteHopLimit()})
		}
		all = append(all, n)
	}
	return all
}

func showConnections(r *router.Router) []Connection {
	all := []Connection{}
	for _, c := range r.Transport.Connections() {
		out := Connection{
			Local: c.Local, Remote: c.Remote, State: c.State, Begun: "router",
			Interface: c.Way.Interface, Gateway: text(c.Way.Gateway), HopLimit: c.Way.HopLimit, MTU: c.Way.MTU, PathMTU: c.PathMTU,
			Sent: c.Sent, Received: c.Received, RTT: c.RTT.Seconds(), RTO: c.RTO.Seconds(), Window: c.Window,
		}
		if c.Passive {
			out.Begun = "peer"
		}
		if c.Waits != dataplane.None {
			out.WaitsFor, out.Since = c.Waits.String(), c.Since
		}
		all = append(all, out)
	}
	return all
}

// text is an address, or nothing.
func text(a netip.Addr) string {
	if a.IsValid() {
		return a.String()
	}
	return ""
}

func showNeighbors(r *router.Router, t *loop.Turn) []Neighbors {
	all := []Neighbors{}
	for _, in := range r.Interfaces.All(t) {
		d := in.Discovery
		if d == nil {
			continue
		}
		n := Neighbors{
			Interface: in.Name, Overloaded: d.Overloaded, Disabled: d.Disabled, Addresses: []Address{}, Neighbors: []Neighbor{},
			Solicited: d.Solicited, Probed: d.Probed, Suppressed: d.Suppressed, Evicted: d.Evicted,
			Unanswered: d.Unanswered, Lost: d.Lost, Invalid: d.Invalid,
		}
		for _, a := range d.Addresses {
			n.Addresses = append(n.Addresses, Address{a.Addr, a.State.String()})
		}
		for _, x := range r.Interfaces.Neighbors(t, in.ID) {
			n.Neighbors = append(n.Neighbors, showNeighbor(x))
		}
		all = append(all, n)
	}
	return all
}

func showSessions(r *router.Router, t *loop.Turn) []Session {
	all := []Session{}
	for _, l := range r.Interfaces.Lines(t) {
		s := Session{
			Interface: l.Name, ID: uint64(l.ID), Phase: l.Phase.String(), Since: l.Since, Next: l.Next, Opened: l.Opened,
			Session: l.Session.ID, Peer: peerOf(l.Session), AC: l.Session.AC, Service: l.Session.Service,
			Sessions: l.Stats.Opened, Ended: map[string]uint64{}, History: []SessionEnd{},
		}
		if !l.Opened.IsZero() {
			s.MTU, s.Auth = l.Session.MTU, l.Session.Auth.String()
		}
		if four := l.Session.IPv4; four.Own.IsValid() {
			s.IPv4 = four.Own.String()
			s.IPv4Peer = text(four.Peer)
			for _, a := range four.DNS {
				if a.IsValid() {
					s.DNS = append(s.DNS, a.String())
				}
			}
		}
		for _, c := range pppoe.Causes() {
			s.Ended[c.String()] = l.Stats.Ended[c]
		}
		for _, e := range slices.Backward(l.History) {
			s.History = append(s.History, showEnd(e))
		}
		all = append(all, s)
	}
	return all
}

func showEnd(e pppoe.End) SessionEnd {
	s := SessionEnd{Closed: e.Closed, Session: e.Session.ID, Peer: peerOf(e.Session), AC: e.Session.AC, Cause: e.Cause.String(), Text: e.Text}
	if !e.Opened.IsZero() {
		s.Lasted = e.Closed.Sub(e.Opened).Seconds()
	}
	return s
}

// peerOf is who a session is with; empty if there is none.
func peerOf(s pppoe.Session) string {
	if s.ID == 0 {
		return ""
	}
	return net.HardwareAddr(s.Peer[:]).String()
}

func showNeighbor(x nd.Neighbor) Neighbor {
	n := Neighbor{Address: x.Addr, State: x.State.String(), Since: x.Since, Router: x.Router, Held: x.Held}
	if x.State != nd.Incomplete {
		n.MAC = net.HardwareAddr(x.MAC[:]).String()
	}
	return n
}

func showCounters(p *dataplane.Plane) Counters {
	s := p.Stats()
	return Counters{
		Received: s.Received, Originated: s.Originated, Sent: s.Sent, Consumed: s.Consumed, Held: s.Held, Released: s.Released,
		Dropped: s.TotalDropped(), Balanced: s.Balanced(), Batches: s.Batches,
		ICMPErrorsSent: s.ErrorsSent, ICMPErrorsLimited: s.ErrorsLimited,
		Reassembly: Reassembly(p.Reassembly()),
	}
}

func showDrops(s dataplane.Stats) []Drop {
	var all []Drop
	for _, d := range dataplane.Drops() {
		all = append(all, Drop{d.String(), s.Dropped[d], d.Text()})
	}
	return all
}

func showFIB(r *router.Router, t *loop.Turn) FIB {
	s := r.FIB.Stats(t)
	f := FIB{
		Generation: s.Generation, Prefixes: s.Prefixes, Pairs: s.Pairs, Slots: s.Groups, Nexthops: s.Nexthops,
		TrieBytes: s.Memory.Trie, WaitingBytes: s.Memory.Waiting, IdleBytes: s.Memory.Idle, PairBytes: s.Memory.Pairs,
	}
	if f.Prefixes > 0 {
		f.BytesPerRoute = float64(f.TrieBytes+f.PairBytes) / float64(f.Prefixes)
	}
	return f
}

func showEpoch(r *router.Router, t *loop.Turn) Epoch {
	s, totals, f := t.Stats(), r.Interfaces.Totals(t), r.FIB.Stats(t)
	p := r.Plane.Stats()
	e := Epoch{
		LookupDeadTotal: p.DeadLookups, DrainingTxTotal: p.DrainingSent, AdmissionRefusedTotal: totals.Refused,
		DeadFileTxTotal: p.Dropped[dataplane.InterfaceSevered], Phases: phases(totals),
		Interfaces: map[string]int{}, Holders: map[string]int64{},
		Attached: totals.Attached, DetachClean: totals.Clean, DetachOrphaned: totals.Orphaned,
		Epoch: s.Epoch, Readers: s.Readers, Graces: s.Graces, GraceMaxSeconds: s.GraceMax.Seconds(),
		Deferred: s.Deferred, OldestSeconds: s.Oldest.Seconds(), Slowest: s.Slowest,
		Generation: f.Generation, Prefixes: f.Prefixes, Pairs: f.Pairs, Slots: f.Groups, Nexthops: f.Nexthops,
		Turns: s.Turns, UptimeSeconds: r.Uptime().Seconds(),
	}
	if s.Graces > 0 {
		e.GraceMeanSeconds = s.GraceSum.Seconds() / float64(s.Graces)
	}
	for _, in := range r.Interfaces.All(t) {
		e.Interfaces[in.State.String()]++
		for who, n := range in.Held {
			e.Holders[who] += n
		}
	}
	e.Orphans = e.Interfaces[ifmgr.Orphaned.String()]
	return e
}

// phases are the means of clean detaches.
func phases(c ifmgr.Totals) map[string]float64 {
	all := map[string]float64{}
	for phase, sum := range map[string]time.Duration{
		"withdraw": c.Withdraw, "grace": c.Grace, "hold": c.Hold, "close": c.Close,
	} {
		if c.Clean > 0 {
			all[phase] = sum.Seconds() / float64(c.Clean)
		}
	}
	return all
}

func showOffered(s rib.Step) Offered {
	switch {
	case s.Reason == "":
		return Offered{}
	case s.Group.Emptied():
		return Offered{"offered, but leads nowhere now: " + s.Reason}
	}
	return Offered{"offered, but not by all its paths now: " + s.Reason}
}

// showLookup is what the packet path would do with a packet from one address to
// another, without ports or flow label.
func showLookup(r *router.Router, t *loop.Turn, from, to netip.Addr) Lookup {
	l := Lookup{Address: to, From: text(from), Steps: []Step{}}
	steps := r.RIB.Explain(t, to)
	for _, s := range steps {
		l.Steps = append(l.Steps, showStep(s))
	}
	g := steps[len(steps)-1].Group
	l.Verdict = g.Verdict().String()
	if nh := g.Nexthop(r.Plane.FlowHash(probe(from, to))); nh != nil {
		l.Interface, l.Gateway = nh.Name(), text(nh.Gateway())
		l.HopLimit, l.MTU = nh.HopLimit(), nh.MTU()
		l.Source = source(r, t, nh)
	}
	return l
}

func showStep(s rib.Step) Step {
	if s.Route.Target == nil {
		return Step{Prefix: "none", Target: fib.Unreachable.String(), Reason: s.Reason}
	}
	return Step{
		Prefix: s.Prefix.String(), Source: s.Route.Source.String(), Metric: s.Route.Metric,
		Target: s.Route.Target.String(), Reason: s.Reason,
	}
}

func source(r *router.Router, t *loop.Turn, nh *fib.Nexthop) string {
	if a := nh.Interface().Addrs().Source(); a.IsValid() {
		return a.String()
	}
	return text(r.FIB.Snapshot(t).Source())
}

func probe(from, to netip.Addr) header.IPv6 {
	if !from.IsValid() {
		from = netip.IPv6Unspecified()
	}
	b := make([]byte, header.IPv6Size)
	header.PutIPv6(b, &header.IPv6Fields{NextHeader: header.ProtoNone, Source: from.As16(), Destination: to.As16()})
	return b
}

// NewLedger is what is told of a detach.
func NewLedger(res ifmgr.Result) Ledger {
	l := Ledger{
		ID: uint64(res.ID), Name: res.Name, Cause: res.Cause.Error(), Result: "clean",
		Routes: res.Routes, Slots: res.Slots, Purged: res.Purged,
		Readers: res.Readers, Waiting: res.Slowest, Holders: res.Holders,
		WithdrawSeconds: res.Withdraw.Seconds(), GraceSeconds: res.Grace.Seconds(),
		HoldSeconds: res.Hold.Seconds(), CloseSeconds: res.Close.Seconds(), TotalSeconds: res.Total.Seconds(),
	}
	if !res.Clean {
		l.Result = "orphaned"
	}
	if res.Err != nil {
		l.Error = res.Err.Error()
	}
	return l
}

func showChanges(steps []router.Change) []Change {
	all := []Change{}
	for _, s := range steps {
		all = append(all, Change(s))
	}
	return all
}
