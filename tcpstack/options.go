package tcpstack

import (
	"fmt"
	"io"
	"time"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// nicID is that of the one NIC there is.
const nicID = 1

const (
	// bufferDefault and bufferMost are bytes of a connection in each direction: it
	// begins with the one, and grows to the other if it is fast.
	bufferDefault = 256 << 10
	bufferMost    = 2 << 20

	maxRTO = 60 * time.Second // RFC 6298 §2.4: no less
)

// Without this, netstack would write of bad segments to the standard error output.
func init() { log.SetTarget(&log.Writer{Next: io.Discard}) }

// newNet returns a netstack with TCP over IPv6, which says nothing of its own
// accord: no neighbor discovery, no MLD.
func newNet(link stack.LinkEndpoint) (*stack.Stack, error) {
	n := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	if err := configure(n, link); err != nil {
		n.Destroy()
		return nil, err
	}
	return n, nil
}

func configure(n *stack.Stack, link stack.LinkEndpoint) error {
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	recovery := tcpip.TCPRecovery(0) // RFC 6675: gVisor's RACK is no use after an outage, docs/decisions/0015
	cubic := tcpip.CongestionControlOption("cubic")
	rto := tcpip.TCPMaxRTOOption(maxRTO)
	for _, o := range []tcpip.SettableTransportProtocolOption{
		&sack, &moderate, &recovery, &cubic, &rto,
		&tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: bufferDefault, Max: bufferMost},
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: bufferDefault, Max: bufferMost},
	} {
		if err := n.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("tcpstack: set %T: %v", o, err)
		}
	}
	// The hop limit of what says none is filled in where it is sent.
	unsaid := tcpip.DefaultTTLOption(0)
	if err := n.SetNetworkProtocolOption(ipv6.ProtocolNumber, &unsaid); err != nil {
		return fmt.Errorf("tcpstack: set hop limit: %v", err)
	}
	if err := n.CreateNIC(nicID, link); err != nil {
		return fmt.Errorf("tcpstack: create NIC: %v", err)
	}
	// Any address is its own: whose it is, the dataplane says.
	if err := n.SetSpoofing(nicID, true); err != nil {
		return fmt.Errorf("tcpstack: take any source: %v", err)
	}
	if err := n.SetPromiscuousMode(nicID, true); err != nil {
		return fmt.Errorf("tcpstack: take any destination: %v", err)
	}
	n.SetRouteTable([]tcpip.Route{{Destination: header.IPv6EmptySubnet, NIC: nicID}})
	return nil
}
