package nd

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/router6d/router6d/internal/header"
)

// Variables of RFC 3810 §9.
const (
	robustness        = 2
	queryInterval     = 125 * time.Second
	unsolicitedReport = time.Second
	maxRobustness     = 7
)

// Records of a report, RFC 3810 §5.2.12: the router listens to all sources of a
// group, or to none.
const (
	isExclude = 2
	toInclude = 3
	toExclude = 4
)

// A group is one that the router listens to on this link.
type group struct {
	addr  [16]byte
	left  int // reports of the change that are still to be sent
	gone  bool
	timer timer // of the next of them
	asked timer // of the answer to a query about this group
}

// A listener is the listener's part of RFC 3810 for all groups.
type listener struct {
	robustness int
	interval   time.Duration // between queries
	version1   timer         // a querier of RFC 2710 was heard: set for as long as that counts
	asked      timer         // of the answer to a general query
	begin      timer         // of the first reports
}

func newListener() listener { return listener{robustness: robustness, interval: queryInterval} }

// always are the groups of every router, RFC 4291 §2.8, without that of all nodes,
// which is never reported (RFC 3810 §6).
var always = [...][16]byte{header.AllRouters, header.AllRoutersSite}

// announceGroups reports every group as one that was just joined.
func (m *Machine) announceGroups(now time.Time) {
	for _, g := range m.orderedGroups() {
		if !g.gone {
			m.report(now, g, false)
		}
	}
}

// stopListening forgets all groups, and whoever asked for them.
func (m *Machine) stopListening() {
	for _, g := range m.groups {
		m.cancel(&g.timer)
		m.cancel(&g.asked)
	}
	clear(m.groups)
	m.cancel(&m.listener.version1)
	m.cancel(&m.listener.asked)
	m.cancel(&m.listener.begin)
	m.listener = newListener()
}

func (m *Machine) orderedGroups() []*group {
	return slices.SortedFunc(maps.Values(m.groups), func(a, b *group) int { return slices.Compare(a.addr[:], b.addr[:]) })
}

// join listens to a group, and tells at once: RFC 3810 §6.1.
func (m *Machine) join(now time.Time, addr [16]byte) {
	if g := m.groups[addr]; g != nil && !g.gone {
		return
	}
	if g := m.groups[addr]; g != nil {
		m.cancel(&g.timer)
	}
	g := &group{addr: addr}
	m.groups[addr] = g
	m.report(now, g, false)
}

// leave listens no more, unless another address is in that group.
func (m *Machine) leave(now time.Time, addr [16]byte) {
	g := m.groups[addr]
	if g == nil || g.gone {
		return
	}
	for _, a := range m.addresses {
		if a.state != Duplicate && header.SolicitedNode(&a.addr) == addr {
			return
		}
	}
	m.cancel(&g.asked)
	m.report(now, g, true)
}

// report begins to tell of a change. It is repeated, for reports get lost.
func (m *Machine) report(now time.Time, g *group, gone bool) {
	g.gone, g.left = gone, m.listener.robustness
	m.cancel(&g.timer)
	m.tell(now, g)
}

func (m *Machine) tell(now time.Time, g *group) {
	record := byte(toExclude)
	if g.gone {
		record = toInclude
	}
	m.sendReport(record, g)
	if g.left--; g.left > 0 {
		m.set(&g.timer, now.Add(m.within(unsolicitedReport)), func(now time.Time) { m.tell(now, g) })
	} else if g.gone {
		delete(m.groups, g.addr)
	}
}

// queried takes a query, RFC 3810 §6.2: the answer comes at a random time within
// what the querier waits, or sooner if one is under way.
func (m *Machine) queried(now time.Time, in *Message) {
	l := &m.listener
	if in.Query.Robustness > 0 {
		l.robustness = in.Query.Robustness
	}
	if in.Query.Interval > 0 {
		l.interval = in.Query.Interval
	}
	if in.Query.Version == 1 { // RFC 3810 §8.2.1, §9.12
		m.set(&l.version1, now.Add(time.Duration(l.robustness)*l.interval+in.Query.MaxResponse), func(time.Time) {})
	}
	at := now.Add(m.within(in.Query.MaxResponse))
	if header.IsUnspecified(&in.Target) {
		m.sooner(&l.asked, at, func(time.Time) { m.reportAll() })
		return
	}
	if g := m.groups[in.Target]; g != nil && !g.gone {
		m.sooner(&g.asked, at, func(time.Time) { m.sendReport(isExclude, g) })
	}
}

// sooner sets a timer, unless it fires before that anyway.
func (m *Machine) sooner(t *timer, at time.Time, fire func(time.Time)) {
	if t.place == 0 || at.Before(t.when) {
		m.set(t, at, fire)
	}
}

// reportAll answers a general query.
func (m *Machine) reportAll() {
	all := slices.DeleteFunc(m.orderedGroups(), func(g *group) bool { return g.gone })
	m.sendReport(isExclude, all...)
}

// sendReport reports groups in the version that the querier speaks. It comes from
// the link-local address, or from :: while there is none, RFC 3810 §5.2.13.
func (m *Machine) sendReport(record byte, groups ...*group) {
	source := m.linkLocal()
	if m.listener.version1.place > 0 {
		for _, g := range groups {
			m.sendVersion1(record, &source, g)
		}
		return
	}
	for some := range slices.Chunk(groups, maxRecords) {
		b := appendAlerted(nil, header.TypeMLDv2Report, uint32(len(some)))
		for _, g := range some {
			b = append(b, record, 0, 0, 0)
			b = append(b, g.addr[:]...)
		}
		m.sendGroup(sealAlerted(b, &source, &header.AllMLDv2Routers), &header.AllMLDv2Routers)
	}
}

// maxRecords fit into one report, whatever the link.
const maxRecords = (header.MinMTU - header.IPv6Size - 8 - header.ICMPv6Size) / 20

// sendVersion1 is a report of RFC 2710, to the group itself; or the end of
// listening, to the routers.
func (m *Machine) sendVersion1(record byte, source *[16]byte, g *group) {
	typ, to := uint8(header.TypeMLDReport), &g.addr
	if record == toInclude {
		typ, to = header.TypeMLDDone, &header.AllRouters
	}
	b := append(appendAlerted(nil, typ, 0), g.addr[:]...)
	m.sendGroup(sealAlerted(b, source, to), to)
}

func (m *Machine) linkLocal() (a [16]byte) {
	for _, x := range m.ordered() {
		if x.usable() && header.IsLinkLocal(&x.addr) {
			return x.addr
		}
	}
	return a
}

// alert is a hop-by-hop header with the router alert of MLD, RFC 2711 §2.1, and
// padding.
var alert = [8]byte{header.ProtoICMPv6, 0, optionRouterAlert, 2, 0, 0, 1, 0}

// appendAlerted appends room for an IPv6 header, the router alert, and the header
// of an ICMPv6 message.
func appendAlerted(b []byte, typ uint8, param uint32) []byte {
	var head [header.IPv6Size + len(alert) + header.ICMPv6Size]byte
	copy(head[header.IPv6Size:], alert[:])
	head[header.IPv6Size+len(alert)] = typ
	binary.BigEndian.PutUint32(head[len(head)-4:], param)
	return append(b, head[:]...)
}

// sealAlerted writes the header of such a packet, and the checksum.
func sealAlerted(pkt []byte, src, dst *[16]byte) []byte {
	m := header.ICMPv6(pkt[header.IPv6Size+len(alert):])
	header.PutIPv6(pkt, &header.IPv6Fields{
		PayloadLength: uint16(len(pkt) - header.IPv6Size), NextHeader: header.ProtoHopByHop, HopLimit: mldHopLimit,
		Source: *src, Destination: *dst,
	})
	m.SetChecksum(header.Checksum(src, dst, header.ProtoICMPv6, m))
	return pkt
}
