//go:build bench

package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/service"
)

// envAlone says on which device this binary is gVisor.
const envAlone = "ROUTER6D_BENCH_ALONE"

// A device is gVisor's link on a TUN, as near as can be: read, delivered, written, with
// superframes both ways.
type device struct {
	channel.Endpoint // for what a link needs besides
	tun              *link.TUN
	up               stack.NetworkDispatcher

	mu  sync.Mutex
	out *link.Batch
	v   link.Vector
}

func (d *device) Attach(up stack.NetworkDispatcher) { d.up = up }
func (d *device) IsAttached() bool                  { return d.up != nil }
func (d *device) MTU() uint32                       { return 1500 }
func (d *device) GSOMaxSize() uint32                { return 1<<16 - 1 }
func (d *device) SupportedGSO() stack.SupportedGSO  { return stack.HostGSOSupported }
func (d *device) Close()                            {}
func (d *device) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

func (d *device) WritePackets(all stack.PacketBufferList) (int, tcpip.Error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, pk := range all.AsSlice() {
		p := d.out.Gather(pk.AsSlices()...)
		if o := pk.GSOOptions; o.Type == stack.GSOTCPv6 {
			size := int(o.MSS)
			if pk.Data().Size() <= size {
				size = 0
			}
			p.LeaveTCP(header.IPv6MinimumSize, size)
		}
		d.v.Push(p)
		_ = d.tun.Send(&d.v) // lost, as on any link
		d.v.Reset()
		d.out.End()
	}
	return all.Len(), nil
}

func (d *device) read(b *link.Batch) {
	for {
		if err := d.tun.Recv(b); errors.Is(err, link.ErrInterrupted) {
			return
		} else if err != nil {
			continue // down for now
		}
		for i := range b.Len() {
			pk := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: pieces(b.At(i).Bytes())})
			d.up.DeliverNetworkPacket(header.IPv6ProtocolNumber, pk)
			pk.DecRef()
		}
		b.End()
	}
}

// pieces is a copy of a packet with its headers apart, as tcpstack has it: gVisor
// copies all of the piece in which it looks at a header.
func pieces(pkt []byte) buffer.Buffer {
	size := min(len(pkt), header.IPv6MinimumSize+header.TCPHeaderMaximumSize)
	all := buffer.MakeWithData(pkt[:size])
	_ = all.Append(buffer.NewViewWithData(pkt[size:])) // never fails
	return all
}

// alone is gVisor on a device of that name, until it is told to stop.
func alone(name string) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	tun, err := link.CreateTUN(name, 1)
	if err != nil {
		return err
	}
	pool := link.NewPool(4)
	d := &device{tun: tun, out: link.NewBatch(pool)}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	recovery, cubic := tcpip.TCPRACKLossDetection, tcpip.CongestionControlOption("cubic")
	const begin, most = 256 << 10, 2 << 20 // as tcpstack
	for _, o := range []tcpip.SettableTransportProtocolOption{
		&sack, &moderate, &recovery, &cubic,
		&tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: begin, Max: most},
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: begin, Max: most},
	} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("set %T: %v", o, err)
		}
	}
	if err := s.CreateNIC(1, d); err != nil {
		return fmt.Errorf("create NIC: %v", err)
	}
	a := tcpip.ProtocolAddress{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: tcpip.AddrFrom16(server.As16()).WithPrefix()}
	if err := s.AddProtocolAddress(1, a, stack.AddressProperties{}); err != nil {
		return fmt.Errorf("add address: %v", err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv6EmptySubnet, NIC: 1}})
	for port, serve := range map[uint16]func(net.Conn) error{9: service.Discard, 19: service.Chargen} {
		l, err := gonet.ListenTCP(s, tcpip.FullAddress{Port: port}, ipv6.ProtocolNumber)
		if err != nil {
			return err
		}
		go service.Run(ctx, l, serve) //nolint:errcheck // it ends with the process
	}
	go d.read(link.NewBatch(pool))
	fmt.Print(".")
	<-ctx.Done()
	return nil
}
