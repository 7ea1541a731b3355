package tcpstack

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/router6d/router6d/dataplane"
)

// A Connection is one end of TCP at this moment, for people.
type Connection struct {
	Local, Remote netip.AddrPort
	State         string         // RFC 9293 §3.3.2, in lower case
	Passive       bool           // the peer began it
	Way           dataplane.Way  // where its segments leave now, and with which hop limit
	PathMTU       int            // of the path to the peer, if it is narrower than the way out; zero: unknown
	Waits         dataplane.Drop // why its last segment was not sent; None: it was
	Since         time.Time      // of Waits
	Sent          uint64         // bytes of payload, those sent again included
	Received      uint64
	RTT, RTO      time.Duration
	Window        int // congestion window, in segments
}

// Connections is all connections, in the order of local ports and then of peers.
func (s *Stack) Connections() (all []Connection) {
	at := now()
	for _, ep := range s.endpoints() {
		all = append(all, s.connection(ep, at))
	}
	slices.SortFunc(all, func(a, b Connection) int {
		return cmp.Or(cmp.Compare(a.Local.Port(), b.Local.Port()), a.Remote.Compare(b.Remote))
	})
	return all
}

func (s *Stack) connection(ep pair, at time.Time) Connection {
	c := Connection{
		Local: ep.id.local, Remote: ep.id.remote,
		State:   stateName(ep.EndpointState()),
		Way:     s.way(ep.id.local.Addr(), ep.id.remote.Addr()),
		PathMTU: s.paths.get(ep.id.remote.Addr(), at),
		Passive: true, // half open, as long as there is no flow
	}
	var info tcpip.TCPInfoOption
	if err := ep.GetSockOpt(&info); err == nil {
		c.RTT, c.RTO, c.Window = info.RTT, info.RTO, int(info.SndCwnd)
	}
	if own, err := ep.GetSockOptInt(tcpip.IPv6HopLimitOption); err == nil && own > 0 && c.Way.HopLimit != 0 {
		c.Way.HopLimit = uint8(own)
	}
	if f := s.flows.find(ep.id); f != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		c.Passive, c.Waits, c.Since, c.Sent, c.Received = f.passive, f.last.Drop, f.since, f.tx, f.rx
	}
	return c
}

func stateName(s tcp.EndpointState) string {
	return strings.ReplaceAll(strings.ToLower(s.String()), " ", "-")
}

// Stats is what the stack has done so far.
type Stats struct {
	Connections      int // now
	Waiting          int // of these, whose last segment found no way
	Accepted, Dialed uint64
	Failed           uint64 // attempts, both ways
	SegmentsIn       uint64
	SegmentsOut      uint64
	Retransmitted    uint64
	Resets           uint64 // sent
	SYNCookies       uint64 // sent: too many connections were half open
	Resumed          uint64 // segments sent that had waited for a way
	ErrorsRefused    uint64 // ICMPv6 errors about what was not outstanding

	DatagramsIn, DatagramsOut uint64 // taken, and sent
	DatagramErrorsRefused     uint64 // Packet Too Big about what was not sent
}

// Stats is the count so far.
func (s *Stack) Stats() Stats {
	t := s.net.Stats().TCP
	st := Stats{
		Accepted: t.PassiveConnectionOpenings.Value(), Dialed: t.ActiveConnectionOpenings.Value(),
		Failed:     t.FailedConnectionAttempts.Value(),
		SegmentsIn: t.ValidSegmentsReceived.Value(), SegmentsOut: t.SegmentsSent.Value(),
		Retransmitted: t.Retransmits.Value(), Resets: t.ResetsSent.Value(),
		SYNCookies: t.ListenOverflowSynCookieSent.Value(),
		Resumed:    s.retried.Load(), ErrorsRefused: s.errorsRefused.Load(),
		DatagramsIn: s.datagramsIn.Load(), DatagramsOut: s.datagramsOut.Load(),
		DatagramErrorsRefused: s.datagramErrorsRefused.Load(),
	}
	for _, f := range s.flows.each() {
		st.Connections++
		f.mu.Lock()
		if f.last.Drop != dataplane.None {
			st.Waiting++
		}
		f.mu.Unlock()
	}
	return st
}
