package capture

import (
	"fmt"
	"net"
	"strings"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
)

// String is the packet in one line, for people.
func (p Packet) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s ", p.At.Local().Format("15:04:05.000000"), way(p.Direction))
	at := p.Bytes
	if p.Frame && len(at) >= header.EthernetSize {
		f := header.Ethernet(at)
		fmt.Fprintf(&b, "%s > %s ", net.HardwareAddr(f.Source()[:]), net.HardwareAddr(f.Destination()[:]))
		at = at[header.EthernetSize:]
	}
	if len(at) < header.IPv6Size || at[0]>>4 != 6 {
		fmt.Fprintf(&b, "not IPv6, %d bytes", p.Size)
	} else {
		pkt := header.IPv6(at)
		fmt.Fprintf(&b, "%v > %v %s, %d bytes, hop limit %d",
			pkt.Source(), pkt.Destination(), upper(pkt), p.Size, pkt.HopLimit())
	}
	if p.Comment != "" {
		fmt.Fprintf(&b, ", dropped %s", p.Comment)
	}
	return b.String()
}

func way(d dataplane.Direction) string {
	switch d {
	case dataplane.Inbound:
		return "in "
	case dataplane.Outbound:
		return "out"
	}
	return "?  "
}

// upper is what the packet carries, as far as the bytes that were kept tell.
func upper(pkt header.IPv6) string {
	u, ok := header.UpperLayer(pkt)
	switch {
	case !ok:
		return "cut off"
	case u.NonFirst:
		return "fragment"
	}
	rest := pkt[min(u.Offset, len(pkt)):]
	switch {
	case u.Protocol == header.ProtoTCP && len(rest) >= header.TCPSize:
		t := header.TCP(rest)
		return fmt.Sprintf("TCP %d > %d%s", t.SourcePort(), t.DestinationPort(), flags(t.Flags()))
	case u.Protocol == header.ProtoUDP && len(rest) >= header.UDPSize:
		d := header.UDP(rest)
		return fmt.Sprintf("UDP %d > %d", d.SourcePort(), d.DestinationPort())
	case u.Protocol == header.ProtoICMPv6 && len(rest) >= header.ICMPv6Size:
		m := header.ICMPv6(rest)
		return fmt.Sprintf("ICMPv6 %s", message(m))
	}
	return fmt.Sprintf("protocol %d", u.Protocol)
}

// flags are those of TCP that a person looks for.
func flags(f uint8) (text string) {
	for _, one := range []struct {
		bit  uint8
		name string
	}{
		{header.FlagSYN, " SYN"},
		{header.FlagFIN, " FIN"},
		{header.FlagRST, " RST"},
		{header.FlagPSH, " PSH"},
		{header.FlagACK, " ACK"},
	} {
		if f&one.bit != 0 {
			text += one.name
		}
	}
	return text
}

func message(m header.ICMPv6) string {
	switch m.Type() {
	case header.TypeDestinationUnreachable:
		return fmt.Sprintf("destination unreachable, code %d", m.Code())
	case header.TypePacketTooBig:
		return fmt.Sprintf("packet too big, MTU %d", m.Param())
	case header.TypeTimeExceeded:
		return fmt.Sprintf("time exceeded, code %d", m.Code())
	case header.TypeParameterProblem:
		return fmt.Sprintf("parameter problem, code %d", m.Code())
	case header.TypeEchoRequest:
		return fmt.Sprintf("echo request, id %d, seq %d", m.Param()>>16, m.Param()&0xffff)
	case header.TypeEchoReply:
		return fmt.Sprintf("echo reply, id %d, seq %d", m.Param()>>16, m.Param()&0xffff)
	}
	return fmt.Sprintf("type %d, code %d", m.Type(), m.Code())
}
