package tcpstack

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/router6d/router6d/internal/header"
)

// A tuple is a connection: its two ends.
type tuple struct{ local, remote netip.AddrPort }

func newTuple(local, remote *[16]byte, localPort, remotePort uint16) tuple {
	return tuple{
		netip.AddrPortFrom(netip.AddrFrom16(*local), localPort),
		netip.AddrPortFrom(netip.AddrFrom16(*remote), remotePort),
	}
}

// received is the connection of a segment that came in.
func received(pkt header.IPv6, t header.TCP) tuple {
	return newTuple(pkt.DestinationBytes(), pkt.SourceBytes(), t.DestinationPort(), t.SourcePort())
}

// sent is the connection of a segment on its way out.
func sent(pkt header.IPv6, t header.TCP) tuple {
	return newTuple(pkt.SourceBytes(), pkt.DestinationBytes(), t.SourcePort(), t.DestinationPort())
}

// idOf is the connection of a gVisor endpoint; without a remote port for a listener.
func idOf(ep tcpip.Endpoint) tuple {
	id := ep.Info().(*stack.TransportEndpointInfo).ID
	local, _ := netip.AddrFromSlice(id.LocalAddress.AsSlice())
	remote, _ := netip.AddrFromSlice(id.RemoteAddress.AsSlice())
	return tuple{netip.AddrPortFrom(local, id.LocalPort), netip.AddrPortFrom(remote, id.RemotePort)}
}

func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFrom16(a.Addr().As16()), Port: a.Port()}
}

// network is that of an address that limits count by: whoever has one address has
// its /64.
func network(a netip.Addr) [8]byte {
	b := a.As16()
	return [8]byte(b[:8])
}

// before compares sequence numbers, RFC 9293 §3.4.
func before(a, b uint32) bool { return int32(a-b) < 0 }
