package e2e

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/netlab"
)

const (
	attackRate = 20_000 // packets a second
	attackTime = 2 * time.Second
)

var (
	routerMAC   = header.MAC{2, 0, 0, 0, 0, 1}
	attackerMAC = header.MAC{2, 0, 0, 0, 0xee, 0xee}
)

// An attack makes its n-th packet.
type attack struct {
	name   string
	dev    string // red, or eth0 of host b
	packet func(n uint64) []byte
	event  bool // people hear of it
	hosts  bool // it deceives the hosts, who send to the attacker then
}

// on is an address of the lan, another one for each n.
func on(prefix string, n uint64) string {
	a := netip.MustParseAddr(prefix).As16()
	for i := range 6 {
		a[15-i] = byte(n >> (8 * i))
	}
	a[9] = 1
	return netip.AddrFrom16(a).String()
}

// framed is a packet of the attacker's, to the router or to its group.
func framed(pkt []byte) []byte {
	to := routerMAC
	if dst := header.IPv6(pkt).DestinationBytes(); header.IsMulticast(dst) {
		to = header.GroupMAC(dst)
	}
	return lab.EthernetFrame(to, attackerMAC, pkt)
}

// discovery is a message with a hop limit of 255, and a link-layer address.
func discovery(from, to string, typ uint8, flags uint32, target string, option byte) []byte {
	var body []byte
	if target != "" {
		body = netip.MustParseAddr(target).AsSlice()
	}
	body = append(append(body, option, 1), attackerMAC[:]...)
	return lab.WithHopLimit(lab.ICMPv6(from, to, typ, 0, flags, body), 255)
}

const groupOfRouter = "ff02::1:ff00:1"

var attacks = []attack{
	{name: "a scan of the prefix", dev: "red", event: true, packet: func(n uint64) []byte {
		return lab.UDP(redAddr, on("2001:db8:10::", n), 1, 9, nil)
	}},
	{name: "solicitations from everywhere", dev: "eth0", packet: func(n uint64) []byte {
		return framed(discovery(on("2001:db8:10::", n), groupOfRouter, header.TypeNeighborSolicitation, 0, lanRouter, 1))
	}},
	{name: "solicitations from nobody", dev: "eth0", packet: func(uint64) []byte {
		body := netip.MustParseAddr(lanRouter).AsSlice()
		return framed(lab.WithHopLimit(lab.ICMPv6("::", groupOfRouter, header.TypeNeighborSolicitation, 0, 0, body), 255))
	}},
	{name: "advertisements of everybody", dev: "eth0", packet: func(n uint64) []byte {
		return framed(discovery(on("2001:db8:10::", n), lanRouter, header.TypeNeighborAdvertisement, 0x60000000, on("2001:db8:10::", n), 2))
	}},
	{name: "advertisements of the router's own address", dev: "eth0", hosts: true, packet: func(uint64) []byte {
		return framed(discovery(lanRouter, "ff02::1", header.TypeNeighborAdvertisement, 0x20000000, lanRouter, 2))
	}},
	{name: "advertisements of a real neighbor, elsewhere", dev: "eth0", packet: func(uint64) []byte {
		// Without Override. With it, RFC 4861 §7.2.5 has the neighbor move.
		return framed(discovery(hostA, lanRouter, header.TypeNeighborAdvertisement, 0x40000000, hostA, 2))
	}},
	{name: "router solicitations", dev: "eth0", packet: func(n uint64) []byte {
		return framed(discovery(on("fe80::", n), "ff02::2", header.TypeRouterSolicitation, 0, "", 1))
	}},
	{name: "hop limit 254", dev: "eth0", packet: func(n uint64) []byte {
		return framed(lab.WithHopLimit(discovery(on("2001:db8:10::", n), groupOfRouter, header.TypeNeighborSolicitation, 0, lanRouter, 1), 254))
	}},
	{name: "options of length 0", dev: "eth0", packet: func(n uint64) []byte {
		body := append(netip.MustParseAddr(lanRouter).AsSlice(), 1, 0, 2, 0, 0, 0, 0, 1)
		return framed(lab.WithHopLimit(lab.ICMPv6(on("2001:db8:10::", n), groupOfRouter, header.TypeNeighborSolicitation, 0, 0, body), 255))
	}},
	{name: "messages that are too short", dev: "eth0", packet: func(n uint64) []byte {
		return framed(lab.WithHopLimit(lab.ICMPv6(on("2001:db8:10::", n), groupOfRouter, header.TypeNeighborSolicitation, 0, 0, make([]byte, n%15)), 255))
	}},
	{name: "packets from the router's own address", dev: "eth0", packet: func(n uint64) []byte {
		if n%2 == 0 {
			return lab.EthernetFrame(routerMAC, routerMAC, lab.Echo(lanRouter, lanRouter, 1, uint16(n), nil))
		}
		return framed(discovery(lanRouter, groupOfRouter, header.TypeNeighborSolicitation, 0, lanRouter, 1))
	}},
	{name: "queries for listeners", dev: "eth0", packet: func(uint64) []byte {
		pkt := lab.ICMPv6("fe80::bad", "ff02::1", header.TypeMLDQuery, 0, 10<<16, append(make([]byte, 16), 7, 1, 0, 0))
		return framed(lab.WithHopLimit(lab.Extend(pkt, header.ProtoHopByHop, []byte{0, 0, 5, 2, 0, 0, 1, 0}), 1))
	}},
}

// launchAttack sends at attackRate, until done is closed; it returns how many.
func launchAttack(t *testing.T, j *netlab.Injector, a attack, done <-chan struct{}) (sent uint64) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for {
		select {
		case <-done:
			return sent
		case now := <-tick.C:
			for due := uint64(now.Sub(begin).Seconds() * attackRate); sent < due; sent++ {
				if err := j.Send(netlab.EtherTypeIPv6, a.packet(sent)); err != nil && !errors.Is(err, unix.ENOBUFS) {
					t.Error(err)
					return sent
				}
			}
		}
	}
}

// Whatever is sent at the router, at 20,000 packets a second, real neighbors keep
// their flows without a loss, the router keeps its memory, answers, and says why.
func TestNeighborsUnderAttack(t *testing.T) {
	privileged(t)
	for name, kind := range map[string]string{"tap": asTAP, "packet": asQueues} {
		t.Run(name, func(t *testing.T) { neighborsUnderAttack(t, kind) })
	}
}

func neighborsUnderAttack(t *testing.T, kind string) {
	l := newLAN(t)
	d := startLAN(t, kind)
	reaches(t, l.red, hostA)
	reaches(t, l.a, redAddr)
	reaches(t, l.b, redAddr)
	// The switch is not what is attacked: it is to know where the router is.
	must(t, l.sw, "bridge", "fdb", "replace", lanMAC, "dev", "lan", "master", "static", "sticky")
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) { d.under(t, l, a) })
		ip(t, "-n a neigh flush dev eth0")
		reaches(t, l.a, redAddr)
	}
	ip(t, "-n b neigh flush dev eth0")
	ping(t, l.b, lanRouter).want(t, 0, "1 received")
}

func (d *daemon) under(t *testing.T, l *lan, a attack) {
	before, missed := d.lan(t), d.notGiven(t, l)
	flows := []netlab.ProbeConfig{
		{FromNS: l.red, From: addrPort(redAddr), ToNS: l.a, To: addrPort(hostA)},
		{FromNS: l.a, From: addrPort(hostA), ToNS: l.red, To: addrPort(redAddr)},
	}
	if a.hosts {
		flows = flows[:1]
	}
	var probes []*netlab.UDPProbe
	for _, c := range flows {
		c.PacketsPerSecond = 1000
		p, err := netlab.StartUDPProbe(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		probes = append(probes, p)
	}
	ns := map[string]*netlab.Namespace{"red": l.red, "eth0": l.b}[a.dev]
	j, err := netlab.OpenInjector(ns, a.dev)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var sent uint64
	var attacker sync.WaitGroup
	attacker.Go(func() { sent = launchAttack(t, j, a, done) })

	slowest := time.Duration(0)
	for end := time.Now().Add(attackTime); time.Now().Before(end); {
		asked := time.Now()
		if _, err := d.Epoch(t.Context()); err != nil {
			t.Error(err)
		}
		slowest = max(slowest, time.Since(asked))
	}
	close(done)
	attacker.Wait()
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	missed = d.notGiven(t, l) - missed
	for _, p := range probes {
		r, err := p.Stop(t.Context())
		if err != nil || r.Missing > r.SocketDrops+missed || r.Received == 0 {
			t.Errorf("a neighbor's flow: %d sent, %d missing, %d of them at the socket, %d frames not given to the router, %v",
				r.Sent, r.Missing, r.SocketDrops, missed, err)
		}
	}
	after := d.lan(t)
	t.Logf("%d packets in %v, %d not given to the router; loop answered within %v; %d neighbors; suppressed %d, evicted %d, lost %d more",
		sent, attackTime, missed, slowest, len(after.Neighbors), after.Suppressed-before.Suppressed, after.Evicted-before.Evicted, after.Lost-before.Lost)
	d.checkAttack(t, a, after)
}

// notGiven is how many packets the kernel had no room for, as a busy machine did not
// let the router read: the router has not lost them.
func (d *daemon) notGiven(t *testing.T, l *lan) uint64 {
	t.Helper()
	red, err := l.red.Link("red")
	if err != nil {
		t.Fatal(err)
	}
	return d.iface("lan").Traffic.RxMissed + red.Stats.TxDropped
}

func (d *daemon) checkAttack(t *testing.T, a attack, n control.Neighbors) {
	t.Helper()
	const most = 512 + 1024 + 16 // asked for, heard of, and real
	if len(n.Neighbors) > most {
		t.Errorf("%d neighbors are known, want at most %d", len(n.Neighbors), most)
	}
	if a.event && !n.Overloaded {
		t.Error("nobody is told")
	}
	if c, err := d.Counters(t.Context()); err != nil || !c.Balanced {
		t.Errorf("account = %+v, %v", c, err)
	}
}

func addrPort(addr string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(addr), 0) }
