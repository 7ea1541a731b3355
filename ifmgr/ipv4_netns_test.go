package ifmgr_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab/nstest"
	"github.com/router6d/router6d/pppoe/ppp"
)

var (
	ours4   = netip.MustParseAddr("100.64.0.9")
	theirs4 = netip.MustParseAddr("100.64.0.1")
)

// handOver attaches wan4 to wan.
func (p *provider) handOver() error {
	_, err := p.r.Interfaces.Add(context.Background(), config.Interface{
		Name: "wan4", Type: config.TypeIPv4, Mode: config.ModeAttach, Lower: "wan", DefaultRoute: true,
	})
	return err
}

// up4 reports whether wan4 has carrier.
func (p *provider) up4() (id ifmgr.ID, up bool) {
	p.r.Turn(func(t *loop.Turn) {
		for _, in := range p.r.Interfaces.All(t) {
			if in.Name == "wan4" && in.State <= ifmgr.Up {
				id, up = in.ID, in.State == ifmgr.Up
			}
		}
	})
	return id, up
}

// TestIPv4HandedOver takes a datagram of the kernel's to the provider, and the
// kernel's answer to what came from there. When the session ends the device stays,
// with its address, and takes nothing; when the next one opens it is as before.
func TestIPv4HandedOver(t *testing.T) {
	nstest.Privileged(t)
	p := newProviderOf(t, config.IdentityKeep, ppp.IPv4{Own: theirs4, Peer: ours4})
	if err := p.handOver(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { id, _ := p.up4(); p.r.DetachID(id) })
	for range 2 {
		p.open()
		p.until("IPv4", func() bool { _, up := p.up4(); return up })
		l, err := netlink.LinkByName("wan4")
		if err != nil {
			t.Fatal(err)
		}
		if l.Attrs().MTU != 1492 || l.Attrs().OperState == netlink.OperDown {
			t.Errorf("MTU, state = %d, %v, want 1492, and not down", l.Attrs().MTU, l.Attrs().OperState)
		}
		p.datagram()
		p.answered4()
		p.inFragments()
		for _, s := range p.ac.Sessions4() {
			p.answer(p.ac.HangUp(s))
		}
		p.until("the end of IPv4", func() bool { _, up := p.up4(); return !up })
		if addrs, err := netlink.AddrList(l, netlink.FAMILY_V4); err != nil || len(addrs) != 1 || !addrs[0].IP.Equal(ours4.AsSlice()) {
			t.Errorf("addresses = %v, %v, want %v", addrs, err, ours4)
		}
	}
}

// datagram has the kernel send one, by its default route.
func (p *provider) datagram() {
	p.t.Helper()
	c, err := net.Dial("udp4", "198.51.100.7:9")
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	p.seen = nil
	if _, err := c.Write([]byte("to the Internet")); err != nil {
		p.t.Fatal(err)
	}
	p.until("the datagram", func() bool { return len(p.seen) > 28 && string(p.seen[28:]) == "to the Internet" })
	if got := netip.AddrFrom4([4]byte(p.seen[12:16])); got != ours4 {
		p.t.Errorf("it is from %v, want %v", got, ours4)
	}
}

// answered4 pings the kernel.
func (p *provider) answered4() {
	p.t.Helper()
	p.seen = nil
	echo := packet4(1, []byte{8, 0, 0, 0, 0, 1, 0, 1}, 0)
	p.wire.Send(p.ac.Encapsulate(p.from, echo))
	p.until("an echo reply", func() bool { return len(p.seen) >= 28 && p.seen[9] == 1 && p.seen[20] == 0 })
}

// inFragments pings it in two parts, which the kernel puts together.
func (p *provider) inFragments() {
	p.t.Helper()
	p.seen = nil
	icmp := append([]byte{8, 0, 0, 0, 0, 2, 0, 2}, make([]byte, 8)...)
	setChecksum(icmp, 2)
	p.wire.Send(p.ac.Encapsulate(p.from, packet4(1, icmp[:8], 0x2000)))
	p.wire.Send(p.ac.Encapsulate(p.from, packet4(1, icmp[8:], 1)))
	p.until("an echo reply", func() bool { return len(p.seen) == 36 && p.seen[20] == 0 })
}

// packet4 is an IPv4 packet to us. A whole one's ICMP gets its checksum.
func packet4(proto byte, data []byte, fragment uint16) []byte {
	if fragment == 0 {
		setChecksum(data, 2)
	}
	b := []byte{0x45, 0, 0, byte(20 + len(data)), 0, 7, byte(fragment >> 8), byte(fragment), 64, proto, 0, 0}
	b = append(append(b, theirs4.AsSlice()...), ours4.AsSlice()...)
	setChecksum(b, 10)
	return append(b, data...)
}

func setChecksum(b []byte, at int) {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	sum = sum>>16 + sum&0xffff
	sum = ^(sum>>16 + sum&0xffff)
	b[at], b[at+1] = byte(sum>>8), byte(sum)
}

// TestIPv4EndsWithItsSession detaches the session's interface under it, and attaches
// it anew; and refuses what has no session, or has IPv4 already.
func TestIPv4EndsWithItsSession(t *testing.T) {
	nstest.Privileged(t)
	p := newProviderOf(t, config.IdentityRenew, ppp.IPv4{Own: theirs4, Peer: ours4})
	for range 3 {
		p.open()
		if err := p.handOver(); err != nil {
			t.Fatal(err)
		}
		p.until("IPv4", func() bool { _, up := p.up4(); return up })
		_, err := p.r.Interfaces.Add(t.Context(), config.Interface{Name: "again", Type: config.TypeIPv4, Mode: config.ModeAttach, Lower: "wan"})
		if !errors.Is(err, ifmgr.ErrExists) {
			t.Errorf("second IPv4 of a session: %v, want %v", err, ifmgr.ErrExists)
		}
		for _, s := range p.ac.Sessions() {
			p.answer(p.ac.HangUp(s))
		}
		p.until("the end of both", func() bool {
			wan, _, _ := p.wan()
			wan4, _ := p.up4()
			return wan == 0 && wan4 == 0
		})
		check(t, own(t).WaitNoLink(deadline(t), "wan4")) // the kernel takes its time for that
		p.add(config.IdentityRenew)
	}
	if _, err := p.r.Interfaces.Add(t.Context(), config.Interface{Name: "a", Type: config.TypeIPv4, Mode: config.ModeAttach, Lower: "eth0"}); err == nil {
		t.Error("IPv4 of what has no session was attached")
	}
}

// TestIPv4TakesNoRoutes refuses IPv6.
func TestIPv4TakesNoRoutes(t *testing.T) {
	nstest.Privileged(t)
	p := newProviderOf(t, config.IdentityKeep, ppp.IPv4{Own: theirs4, Peer: ours4})
	p.open()
	if err := p.handOver(); err != nil {
		t.Fatal(err)
	}
	id, _ := p.up4()
	t.Cleanup(func() { p.r.DetachID(id) })
	p.until("IPv4", func() bool { _, up := p.up4(); return up })
	p.r.Turn(func(turn *loop.Turn) {
		if _, err := p.r.Interfaces.Acquire(turn, id, ifmgr.Route); !errors.Is(err, ifmgr.ErrNoIPv6) {
			t.Errorf("a route: %v, want %v", err, ifmgr.ErrNoIPv6)
		}
	})
}
