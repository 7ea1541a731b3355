//go:build bench

package forward

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/router6d/router6d/internal/link"
)

// envRelay says which contestant this binary was started as.
const envRelay = "ROUTER6D_BENCH_RELAY"

func relayDevice(name string, i int) string { return fmt.Sprintf("%s%d", name, i) }

// relayMain is a contestant's process. It tells when its devices are there, and
// ends with its standard input.
func relayMain(name string) {
	run := map[string]func(name string) error{
		"plain": plain, "engine": engine, "wireguard": wireguard, "gvisor": gvisor,
		"concentrator": concentrate,
	}[name]
	if err := run(name); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
	fmt.Print(".")
	_, _ = io.Copy(io.Discard, os.Stdin) // whatever ends it
}

// both runs a direction each.
func both[D any](open func(i int) (D, error), relay func(from, to D)) error {
	a, err := open(0)
	if err != nil {
		return err
	}
	b, err := open(1)
	if err != nil {
		return err
	}
	go relay(a, b)
	go relay(b, a)
	return nil
}

// plain is the yardstick, and stays as it is: a blocking thread for each direction
// reads a descriptor and writes the other, superframes whole, nothing between.
func plain(name string) error {
	return both(func(i int) (int, error) {
		fd, err := openTUN(relayDevice(name, i), unix.IFF_VNET_HDR)
		if err != nil {
			return fd, err
		}
		return fd, unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|
			unix.TUN_F_TSO6|unix.TUN_F_TSO_ECN|unix.TUN_F_USO4|unix.TUN_F_USO6)
	}, plainRelay)
}

func plainRelay(from, to int) {
	runtime.LockOSThread()
	b := make([]byte, 10+link.MaxPacket)
	for {
		if n, err := unix.Read(from, b); err == nil {
			_, _ = unix.Write(to, b[:n]) // lost, as on any link
		}
	}
}

func openTUN(name string, flags uint16) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return -1, err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | flags)
	return fd, unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
}

// engine is router6d's own ports and batches, with no routing between.
func engine(name string) error {
	pool := link.NewPool(2 * runtime.GOMAXPROCS(0))
	return both(func(i int) (*link.TUN, error) { return link.CreateTUN(relayDevice(name, i), 1) },
		func(from, to *link.TUN) { engineRelay(from, to, link.NewBatch(pool)) })
}

func engineRelay(from, to *link.TUN, b *link.Batch) {
	var v link.Vector
	for {
		if err := from.Recv(b); err != nil {
			continue // down for now
		}
		for i := range b.Len() {
			v.Push(b.At(i))
		}
		_ = to.Send(&v) // lost, as on any link
		v.Reset()
		b.End()
	}
}

// wireguard is the library's Device: it cuts superframes and puts segments together
// again.
func wireguard(name string) error {
	return both(func(i int) (tun.Device, error) { return tun.CreateTUN(relayDevice(name, i), 1500) }, wireguardRelay)
}

func wireguardRelay(from, to tun.Device) {
	n := from.BatchSize()
	bufs, read, sizes := tunBuffers(n), make([][]byte, n), make([]int, n)
	for {
		n, err := from.Read(bufs, sizes, tunOffset)
		if err != nil {
			continue // down for now, or more segments than fit
		}
		for i := range n {
			read[i] = bufs[i][:tunOffset+sizes[i]]
		}
		_, _ = to.Write(read[:n], tunOffset) // lost, as on any link
	}
}

const tunOffset = 16 // ≥ the virtio-net header of a tun.Device

// tunBuffers has room for n packets of any size.
func tunBuffers(n int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, tunOffset+link.MaxPacket)
	}
	return bufs
}

// gvisor is a netstack that forwards. Its endpoint for descriptors knows offloads
// of sockets only.
func gvisor(name string) error {
	s := stack.New(stack.Options{NetworkProtocols: []stack.NetworkProtocolFactory{ipv6.NewProtocol}})
	for i, a := range []netip.Addr{routerSrc, routerDst} {
		fd, err := openTUN(relayDevice(name, i), 0)
		if err != nil {
			return err
		}
		ep, err := fdbased.New(&fdbased.Options{FDs: []int{fd}, MTU: 1500, RXChecksumOffload: true})
		if err != nil {
			return err
		}
		nic := tcpip.NICID(i + 1)
		if err := s.CreateNIC(nic, ep); err != nil {
			return fmt.Errorf("create NIC: %v", err)
		}
		addr := tcpip.AddrFrom16(a.As16()).WithPrefix()
		addr.PrefixLen = 64
		if err := s.AddProtocolAddress(nic, tcpip.ProtocolAddress{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: addr}, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("add address: %v", err)
		}
		s.AddRoute(tcpip.Route{Destination: addr.Subnet(), NIC: nic})
	}
	s.AddRoute(tcpip.Route{Destination: header.IPv6EmptySubnet, NIC: 2})
	if err := s.SetForwardingDefaultAndAllNICs(ipv6.ProtocolNumber, true); err != nil {
		return fmt.Errorf("forward: %v", err)
	}
	return nil
}
