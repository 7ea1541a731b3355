package tcpstack

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/router6d/router6d/internal/link"
)

// An endpoint is the link of the one NIC, as gVisor sees it: what it writes is sent
// at once, on the goroutine that writes. It has the largest MTU there is; how much
// fits is said by the lookup that sends.
type endpoint struct {
	up  atomic.Pointer[stack.NetworkDispatcher] // nil while there is no NIC
	out func(*stack.PacketBuffer)
}

// deliver gives gVisor a packet. It takes pk.
func (e *endpoint) deliver(pk *stack.PacketBuffer) {
	if d := e.up.Load(); d != nil {
		(*d).DeliverNetworkPacket(header.IPv6ProtocolNumber, pk)
	}
	pk.DecRef()
}

// WritePackets implements stack.LinkEndpoint. What is not sent is lost, as on any
// link.
func (e *endpoint) WritePackets(all stack.PacketBufferList) (int, tcpip.Error) {
	for _, pk := range all.AsSlice() {
		e.out(pk)
	}
	return all.Len(), nil
}

// Attach implements stack.LinkEndpoint.
func (e *endpoint) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		e.up.Store(nil)
		return
	}
	e.up.Store(&d)
}

// IsAttached implements stack.LinkEndpoint.
func (e *endpoint) IsAttached() bool { return e.up.Load() != nil }

// MTU implements stack.LinkEndpoint.
func (e *endpoint) MTU() uint32 { return link.MaxPacket }

// Capabilities implements stack.LinkEndpoint: checksums of what is delivered were
// checked.
func (e *endpoint) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

// GSOMaxSize implements stack.GSOEndpoint.
func (e *endpoint) GSOMaxSize() uint32 { return 1<<16 - 1 }

// SupportedGSO implements stack.GSOEndpoint: superframes are sent whole, to be cut
// by whoever has to.
func (e *endpoint) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// The rest of stack.LinkEndpoint is about links that have addresses, headers or
// goroutines.

func (e *endpoint) SetMTU(uint32)                           {}
func (e *endpoint) MaxHeaderLength() uint16                 { return 0 }
func (e *endpoint) LinkAddress() tcpip.LinkAddress          { return "" }
func (e *endpoint) SetLinkAddress(tcpip.LinkAddress)        {}
func (e *endpoint) Wait()                                   {}
func (e *endpoint) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (e *endpoint) AddHeader(*stack.PacketBuffer)           {}
func (e *endpoint) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (e *endpoint) Close()                                  {}
func (e *endpoint) SetOnCloseAction(func())                 {}
