package netlab

import (
	"net/netip"

	"github.com/router6d/router6d/internal/config"
)

// Wire is the prefix of the n-th wire: [End] 1 is the router's, 2 the kernel's.
func Wire(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{
		0x20, 0x01, 0x0d, 0xb8, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n),
	}), 64)
}

// End is an address on a wire.
func End(wire netip.Prefix, n byte) netip.Addr {
	a := wire.Addr().As16()
	a[15] = n
	return netip.AddrFrom16(a)
}

// Leg is the configuration of an interface on a wire. Its kernel end is in the
// namespace, or in the router's own if that is nil; from a namespace of its own
// everything goes to the router.
func Leg(name string, ns *Namespace, wire netip.Prefix) (config.Interface, error) {
	c, err := config.NewInterface(name)
	if err != nil {
		return c, err
	}
	c.Addresses = []netip.Prefix{netip.PrefixFrom(End(wire, 1), wire.Bits())}
	c.Kernel = &config.Kernel{
		Addresses:  []netip.Prefix{netip.PrefixFrom(End(wire, 2), wire.Bits())},
		TxQueueLen: config.DefaultTxQueueLen,
	}
	if ns == nil {
		return c, nil
	}
	c.Kernel.Routes = []netip.Prefix{netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	c.Kernel.Netns, err = config.ParseNetns(ns.Path())
	return c, err
}
