package link_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// create makes a TUN device that is gone at the end of the test.
func create(t *testing.T, name string) *link.TUN {
	t.Helper()
	d, err := link.CreateTUN(name, 1)
	check(t, err)
	t.Cleanup(func() { _ = d.Close() }) // may be closed already
	return d
}

func device(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	check(t, err)
	return l
}

func setUp(t *testing.T, name string) {
	t.Helper()
	check(t, netlink.LinkSetUp(device(t, name)))
}

func exist(name string) bool {
	_, err := netlink.LinkByName(name)
	return err == nil
}

// persist makes a persistent device, with several queues if asked.
func persist(t *testing.T, name string, mode netlink.TuntapMode, queues int) {
	t.Helper()
	d := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: mode, Queues: queues}
	d.Flags = netlink.TUNTAP_DEFAULTS
	if queues > 0 {
		d.Flags = netlink.TUNTAP_MULTI_QUEUE_DEFAULTS
	}
	check(t, netlink.LinkAdd(d))
	for _, f := range d.Fds {
		check(t, f.Close())
	}
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(name); err == nil {
			check(t, netlink.LinkDel(l))
		}
	})
}

// packet is an IPv6 packet with a payload of size bytes that nobody knows.
func packet(size int) []byte {
	b := make([]byte, header.IPv6Size+size)
	b[0], b[6], b[7] = 6<<4, header.ProtoNone, 64
	binary.BigEndian.PutUint16(b[4:], uint16(size))
	b[8], b[24], b[39] = 0xfd, 0xff, 1
	b[25] = 0x02
	return b
}

// one is a batch that holds one packet.
func one(t *testing.T, pkt []byte) *link.Batch {
	t.Helper()
	b := link.NewBatch(link.NewPool(1))
	b.Inject(pkt)
	t.Cleanup(b.End)
	return b
}

func TestTUNComesAndGoes(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	d := create(t, "r6t-%d")
	if d.Name() != "r6t-0" || !exist("r6t-0") {
		t.Errorf("name = %s, want r6t-0", d.Name())
	}
	if err := d.Probe(); !errors.Is(err, link.ErrDown) {
		t.Errorf("probe = %v, want %v", err, link.ErrDown)
	}
	setUp(t, "r6t-0")
	if err := d.Probe(); err != nil {
		t.Errorf("probe = %v, want nil", err)
	}
	check(t, d.Close())
	if exist("r6t-0") {
		t.Error("it is there after close")
	}
	if err := d.Probe(); !errors.Is(err, link.ErrGone) {
		t.Errorf("probe after close = %v, want %v", err, link.ErrGone)
	}
	if err := d.Sever(); err != nil {
		t.Errorf("sever after close = %v, want nil: it is as dead as it gets", err)
	}
	d.Interrupt()
}

func TestRefusedNames(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	create(t, "taken")
	persist(t, "kept", netlink.TUNTAP_MODE_TUN, 0)
	persist(t, "tap", netlink.TUNTAP_MODE_TAP, 0)
	links, err := netlink.LinkList()
	check(t, err)
	tests := []struct {
		name string
		open func(string, int) (*link.TUN, error)
		of   string
		want error // nil: any
	}{
		{"create what is there", link.CreateTUN, "taken", link.ErrBusy},
		{"create what is kept", link.CreateTUN, "kept", link.ErrBusy},
		{"create loopback", link.CreateTUN, "lo", link.ErrBusy},
		{"create with a slash", link.CreateTUN, "a/b", nil},
		{"create with too long a name", link.CreateTUN, "sixteen-letters-", nil},
		{"attach what another has", link.AttachTUN, "taken", link.ErrBusy},
		{"attach what is not there", link.AttachTUN, "nobody", link.ErrNotExist},
		{"attach a pattern", link.AttachTUN, "tun%d", link.ErrNotExist},
		{"attach what is no TUN", link.AttachTUN, "lo", nil},
		{"attach a TAP", link.AttachTUN, "tap", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := tt.open(tt.of, 1)
			if d != nil || err == nil {
				check(t, d.Close())
				t.Fatal("it was opened")
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("error = %v, want %v", err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.of) {
				t.Errorf("error %q does not name %s", err, tt.of)
			}
		})
	}
	after, err := netlink.LinkList()
	check(t, err)
	if len(after) != len(links) {
		t.Errorf("%d devices, want %d as before", len(after), len(links))
	}
}

func TestAttachTUNThatIsNotThereMakesNothing(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	heard := make(chan netlink.LinkUpdate, 100)
	stop := make(chan struct{})
	check(t, netlink.LinkSubscribe(heard, stop))
	for range 10 {
		if _, err := link.AttachTUN("nobody", 1); !errors.Is(err, link.ErrNotExist) {
			t.Errorf("attach = %v, want %v", err, link.ErrNotExist)
		}
	}
	d := create(t, "last")
	for u := range heard {
		if u.Attrs().Name == "nobody" {
			t.Error("all the world has heard of it")
		}
		if u.Attrs().Name == "last" {
			break
		}
	}
	close(stop)
	check(t, d.Close())
	for range heard { // closed at its end
	}
}

func TestAttachTUNTakesAndLeaves(t *testing.T) {
	nstest.Privileged(t)
	for name, queues := range map[string]int{"kept": 0, "queues": 2} {
		t.Run(name, func(t *testing.T) {
			nstest.NoLeaks(t)
			persist(t, name, netlink.TUNTAP_MODE_TUN, queues)
			for range 2 {
				d, err := link.AttachTUN(name, 1)
				check(t, err)
				setUp(t, name)
				if err := d.Probe(); err != nil {
					t.Errorf("probe = %v, want nil", err)
				}
				check(t, netlab.SendRaw(self(t), name, packet(100)))
				if got := receive(t, d, packet(100)); got.Len() != 1 {
					t.Errorf("received %d, want 1", got.Len())
				}
				check(t, d.Close())
				if !exist(name) {
					t.Fatal("it went with the port")
				}
			}
		})
	}
}

// The one who made the device may have a queue of it still, with another framing.
func TestAttachTUNWithAQueueInUse(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	d := &netlink.Tuntap{
		LinkAttrs: netlink.LinkAttrs{Name: "queues"}, Mode: netlink.TUNTAP_MODE_TUN,
		Queues: 1, Flags: netlink.TUNTAP_MULTI_QUEUE_DEFAULTS,
	}
	check(t, netlink.LinkAdd(d))
	t.Cleanup(func() { check(t, netlink.LinkDel(device(t, "queues"))) })
	if _, err := link.AttachTUN("queues", 1); !errors.Is(err, link.ErrBusy) {
		t.Errorf("attach = %v, want %v", err, link.ErrBusy)
	}
	check(t, d.Fds[0].Close())
	port, err := link.AttachTUN("queues", 1)
	check(t, err)
	check(t, port.Close())
}

// self is the test's own namespace, under a name.
func self(t *testing.T) *netlab.Namespace {
	t.Helper()
	const name = "self"
	if ns, err := netlab.OpenNamespace(name); err == nil {
		return ns
	}
	ns, err := netlab.NameOwn(name)
	check(t, err)
	t.Cleanup(func() { check(t, ns.Delete()) })
	return ns
}

// eventually asks until it is so: nobody tells.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// receive reads until the packet comes; the kernel has things to say by itself.
func receive(t *testing.T, d link.Receiver, want []byte) *link.Batch {
	t.Helper()
	b := link.NewBatch(link.NewPool(1))
	t.Cleanup(b.End)
	for {
		check(t, d.Recv(b))
		b.Keep(func(p *link.Packet) bool { return string(p.Bytes()) == string(want) })
		if b.Len() > 0 {
			return b
		}
		b.End()
	}
}

// parked calls Recv and returns once it sleeps, or is about to.
func parked(d link.Receiver) <-chan error {
	began, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		b := link.NewBatch(link.NewPool(1))
		close(began)
		for {
			if err := d.Recv(b); err != nil {
				ended <- err
				return
			}
			b.End()
		}
	}()
	<-began
	return ended
}

func TestInterruptWakesAParkedReader(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	for range 20 {
		d := create(t, "r6t")
		setUp(t, "r6t")
		ended := parked(d)
		d.Interrupt()
		if err := <-ended; !errors.Is(err, link.ErrInterrupted) {
			t.Errorf("recv = %v, want %v", err, link.ErrInterrupted)
		}
		check(t, netlab.SendRaw(self(t), "r6t", packet(8))) // readable again
		if err := d.Recv(link.NewBatch(link.NewPool(1))); !errors.Is(err, link.ErrInterrupted) {
			t.Errorf("recv later = %v, want %v", err, link.ErrInterrupted)
		}
		check(t, d.Close())
	}
}

// deletedUnder deletes the device of a port whose reader is parked, and wants all that
// is asked of it afterwards to say so.
func deletedUnder(t *testing.T, d interface {
	link.Receiver
	link.Sender
	Probe() error
}, pkt []byte,
) {
	t.Helper()
	ended := parked(d)
	check(t, netlink.LinkDel(device(t, "r6t")))
	if err := <-ended; !errors.Is(err, link.ErrGone) {
		t.Errorf("recv = %v, want %v", err, link.ErrGone)
	}
	if err := d.Probe(); !errors.Is(err, link.ErrGone) {
		t.Errorf("probe = %v, want %v", err, link.ErrGone)
	}
	b := one(t, pkt)
	if err := d.Send(&b.Vector); !errors.Is(err, link.ErrGone) || b.Len() != 1 {
		t.Errorf("send = %v, %d left, want %v, 1", err, b.Len(), link.ErrGone)
	}
}

func TestDeletionUnderAParkedReader(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	d := create(t, "r6t")
	setUp(t, "r6t")
	deletedUnder(t, d, packet(8))
	if _, _, err := d.Locate(); err == nil {
		t.Error("it was located")
	}
	check(t, d.Close())
}

func TestAdminDown(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	d := create(t, "r6t")
	b := one(t, packet(8))
	for range 2 {
		setUp(t, "r6t")
		if err := d.Probe(); err != nil {
			t.Errorf("probe while up = %v, want nil", err)
		}
		check(t, netlink.LinkSetDown(device(t, "r6t")))
		if err := d.Probe(); !errors.Is(err, link.ErrDown) {
			t.Errorf("probe = %v, want %v", err, link.ErrDown)
		}
		if err := d.Send(&b.Vector); !errors.Is(err, link.ErrDown) || b.Len() != 1 {
			t.Errorf("send = %v, %d left, want %v, 1", err, b.Len(), link.ErrDown)
		}
	}
	setUp(t, "r6t")
	if err := d.Send(&b.Vector); err != nil || b.Len() != 0 {
		t.Errorf("send while up = %v, %d left, want nil, 0", err, b.Len())
	}
}

func TestRejectedPacketStaysAndTheOthersGo(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	d := create(t, "r6t")
	setUp(t, "r6t")
	b := link.BatchOf(packet(8), []byte{0x10}, packet(9)) // the second is no IP
	defer b.End()
	if err := d.Send(&b.Vector); !errors.Is(err, link.ErrRejected) || b.Len() != 1 || len(b.At(0).Bytes()) != 1 {
		t.Errorf("send = %v, %d left, want %v and the one that is no packet", err, b.Len(), link.ErrRejected)
	}
	if got := device(t, "r6t").Attrs().Statistics.RxPackets; got != 2 {
		t.Errorf("the kernel received %d, want 2", got)
	}
}

func TestLocateFollowsRenameAndMove(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	ns, err := netlab.NewNamespace("r6t-there")
	check(t, err)
	t.Cleanup(func() { check(t, ns.Delete()) })
	d := create(t, "r6t")
	at := func(wantName, wantNS string) {
		t.Helper()
		name, f, err := d.Locate()
		check(t, err)
		defer f.Close()
		flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
		check(t, err)
		if flags&unix.FD_CLOEXEC == 0 {
			t.Error("the descriptor would outlive an exec")
		}
		got, err := f.Stat()
		check(t, err)
		want, err := os.Stat(wantNS)
		check(t, err)
		if name != wantName || !os.SameFile(got, want) {
			t.Errorf("it is %s, want %s in %s", name, wantName, wantNS)
		}
	}
	at("r6t", "/proc/thread-self/ns/net")
	check(t, netlink.LinkSetName(device(t, "r6t"), "renamed"))
	at("renamed", "/proc/thread-self/ns/net")
	check(t, self(t).MoveLink("renamed", ns))
	at("renamed", ns.Path())
	if err := d.Probe(); !errors.Is(err, link.ErrDown) {
		t.Errorf("probe after a move = %v, want %v", err, link.ErrDown)
	}
}

func TestSeverKillsTheDeviceAndKeepsTheNumber(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	d := create(t, "r6t")
	setUp(t, "r6t")
	ended := parked(d)
	number := d.FD()
	check(t, d.Sever())
	if exist("r6t") {
		t.Error("the device is there")
	}
	if err := <-ended; !errors.Is(err, link.ErrInterrupted) && !errors.Is(err, link.ErrGone) {
		t.Errorf("recv = %v, want its end", err)
	}
	if err := d.Probe(); !errors.Is(err, link.ErrGone) {
		t.Errorf("probe = %v, want %v", err, link.ErrGone)
	}

	// The same name again: another number, and no stale write reaches it.
	next := create(t, "r6t")
	setUp(t, "r6t")
	if next.FD() == number {
		t.Error("its number was given away")
	}
	b := one(t, packet(8))
	if err := d.Send(&b.Vector); !errors.Is(err, link.ErrSevered) || b.Len() != 1 {
		t.Errorf("stale send = %v, %d left, want %v, 1", err, b.Len(), link.ErrSevered)
	}
	if _, err := unix.Write(number, packet(8)); err != nil { // as one that was on its way already
		t.Errorf("stale write = %v, want it to go nowhere", err)
	}
	if got := device(t, "r6t").Attrs().Statistics.RxPackets; got != 0 {
		t.Errorf("the next device received %d, want 0", got)
	}
	check(t, d.Sever()) // twice does no harm
	check(t, d.Close())
	if !exist("r6t") {
		t.Error("the next device went with it")
	}
	var st unix.Stat_t
	if err := unix.Fstat(number, &st); !errors.Is(err, unix.EBADF) {
		t.Errorf("the number is in use after close: %v", err)
	}
}

func TestSeverWithoutDescriptorsLeft(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	d := create(t, "r6t")
	var limit unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}))
	err := d.Sever()
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("sever = %v, want %v", err, unix.EMFILE)
	}
	check(t, d.Close())
}

// A both is a port with a queue.
type both interface {
	link.Port
	link.Receiver
}

// TCP through a bare relay of two devices.
func TestSuperframesPassWhole(t *testing.T) {
	nstest.Privileged(t)
	t.Run("TUN", func(t *testing.T) {
		relayTCP(t, 1500, func() (both, error) { return link.CreateTUN("tun0", 1) })
	})
	t.Run("TAP", func(t *testing.T) {
		relayTCP(t, 1514, func() (both, error) { return link.CreateTAP("tun0", ours, 1) })
	})
	t.Run("packet socket", func(t *testing.T) {
		relayTCP(t, 1514, openFar)
	})
}

// relayTCP relays between two devices whose largest packets have wire bytes.
func relayTCP(t *testing.T, wire int, open func() (both, error)) {
	nstest.NoLeaks(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var ends [2]both
	var spaces [2]*netlab.Namespace
	addrs := [2]netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")}
	for i, name := range []string{"r6t-west", "r6t-east"} {
		ns, err := netlab.NewNamespace(name)
		check(t, err)
		t.Cleanup(func() { check(t, ns.Delete()) })
		check(t, ns.Do(func() (err error) { ends[i], err = open(); return err }))
		t.Cleanup(func() { check(t, ends[i].Close()) })
		check(t, ns.SetUp("tun0"))
		check(t, ns.AddAddress("tun0", netip.PrefixFrom(addrs[i], 64)))
		spaces[i] = ns
	}
	var relays sync.WaitGroup
	var supers, segments atomic.Int64
	pool := link.NewPool(2)
	for i := range ends {
		relays.Go(func() {
			b := link.NewBatch(pool)
			for ends[i].Recv(b) == nil {
				for j := range b.Len() {
					p := b.At(j)
					if p.Offload.Bad() {
						t.Error("the kernel's own header is bad")
					}
					if p.Offload.Superframe() {
						supers.Add(1)
						segments.Add(int64(p.Segments()))
						if p.WireSize() > wire {
							t.Errorf("segments of %d bytes, over the mtu", p.WireSize())
						}
					}
				}
				_ = ends[1-i].Send(&b.Vector)
				b.End()
			}
		})
	}
	sink, err := netlab.StartTCPSink(spaces[1], netip.AddrPortFrom(addrs[1], 0))
	check(t, err)
	flow, err := netlab.StartTCPFlow(ctx, spaces[0], addrs[0], sink.Addr(), 0)
	check(t, err)
	for sink.Bytes() < 20<<20 && ctx.Err() == nil {
		select {
		case <-flow.Ended():
			t.Fatal("the flow ended by itself")
		case <-time.After(time.Millisecond):
		}
	}
	_, err = flow.Stop(ctx) // every byte was verified
	check(t, err)
	check(t, sink.Stop())
	for _, d := range ends {
		d.Interrupt()
	}
	relays.Wait()
	if n := supers.Load(); n == 0 || segments.Load() < 2*n {
		t.Errorf("%d superframes of %d segments, want many", n, segments.Load())
	}
}

func TestPacketsAreReadWholeAndInOrder(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	d := create(t, "r6t")
	setUp(t, "r6t")
	ns := self(t)
	for i := range 10 {
		check(t, netlab.SendRaw(ns, "r6t", packet(100+i)))
	}
	b := link.NewBatch(link.NewPool(1))
	defer b.End()
	got := 0
	for got < 10 {
		check(t, d.Recv(b))
		for i := range b.Len() {
			if p := b.At(i); string(p.Bytes()) == string(packet(100+got)) {
				got++
			}
		}
		b.End()
	}
}

// flowPacket is the n-th packet of a flow.
func flowPacket(flow, n int) []byte {
	return lab.UDP("2001:db8:1::1", "2001:db8:2::2", uint16(1000+flow), 9, mark(flow, n))
}

// mark ends the n-th packet of a flow.
func mark(flow, n int) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(flow)), uint32(n))
}

// queues reads from every queue of a device until it has had so many packets of
// this size, which end in their mark, and tells which queue had which flow, in the
// order it came.
func queues(t *testing.T, d both, want, size int) []map[uint32][]uint32 {
	t.Helper()
	var left atomic.Int64
	left.Store(int64(want))
	receivers := d.(link.Queued).Receivers()
	all := make([]map[uint32][]uint32, len(receivers))
	var readers sync.WaitGroup
	for i, rx := range receivers {
		all[i] = map[uint32][]uint32{}
		readers.Go(func() {
			b := link.NewBatch(link.NewPool(1))
			for rx.Recv(b) == nil {
				for j := range b.Len() {
					p := b.At(j).Bytes()
					if len(p) != size {
						continue // the kernel's own
					}
					flow := binary.BigEndian.Uint32(p[size-8:])
					all[i][flow] = append(all[i][flow], binary.BigEndian.Uint32(p[size-4:]))
					if left.Add(-1) == 0 {
						d.Interrupt()
					}
				}
				b.End()
			}
		})
	}
	readers.Wait()
	return all
}

// wantInOrder wants each flow on one queue, in order, and no queue to have all.
func wantInOrder(t *testing.T, all []map[uint32][]uint32, flows int) {
	t.Helper()
	got := map[uint32]bool{}
	for i, flowsOf := range all {
		if flows > 1 && (len(flowsOf) == 0 || len(flowsOf) == flows) {
			t.Errorf("queue %d has %d of %d flows", i, len(flowsOf), flows)
		}
		for flow, numbers := range flowsOf {
			if got[flow] {
				t.Errorf("flow %d is on two queues", flow)
			}
			got[flow] = true
			for n := range numbers {
				if numbers[n] != uint32(n) {
					t.Fatalf("flow %d came as %v", flow, numbers)
				}
			}
		}
	}
	if len(got) != flows {
		t.Errorf("%d flows came, want %d", len(got), flows)
	}
}

// Each flow is on one queue, in order, and no queue has all.
func TestQueuesKeepFlowsInOrder(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	const flows, each = 64, 50
	d, err := link.CreateTUN("r6t", 4)
	check(t, err)
	setUp(t, "r6t")
	check(t, netlink.LinkSetTxQLen(device(t, "r6t"), flows*each))
	in, err := netlab.OpenInjector(self(t), "r6t")
	check(t, err)
	for n := range each {
		for flow := range flows {
			check(t, in.Send(netlab.EtherTypeIPv6, flowPacket(flow, n)))
		}
	}
	check(t, in.Close())
	wantInOrder(t, queues(t, d, flows*each, len(flowPacket(0, 0))), flows)
	check(t, d.Close())
}

// Answers to what left by a queue come back on it.
func TestQueueGetsItsAnswers(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	const flows = 16
	d, err := link.CreateTUN("r6t", 2)
	check(t, err)
	setUp(t, "r6t")
	in, err := netlab.OpenInjector(self(t), "r6t")
	check(t, err)
	for flow := range flows {
		pkt := lab.UDP("2001:db8:2::2", "2001:db8:1::1", 9, uint16(1000+flow), mark(flow, 0))
		// The kernel learns it from the second on, and until then guesses.
		for range 2 {
			b := one(t, pkt)
			b.Queue = flow % 2
			check(t, d.Send(&b.Vector))
		}
		check(t, in.Send(netlab.EtherTypeIPv6, flowPacket(flow, 0)))
	}
	check(t, in.Close())
	for i, flowsOf := range queues(t, d, flows, len(flowPacket(0, 0))) {
		for flow := range flowsOf {
			if int(flow)%2 != i {
				t.Errorf("flow %d came on queue %d, want %d", flow, i, flow%2)
			}
		}
	}
	check(t, d.Close())
}

// What ends one queue ends all.
func TestQueuesEndTogether(t *testing.T) {
	nstest.Privileged(t)
	for name, tt := range map[string]struct {
		end  func(t *testing.T, d *link.TUN)
		want error
	}{
		"interrupted": {func(_ *testing.T, d *link.TUN) { d.Interrupt() }, link.ErrInterrupted},
		"deleted":     {func(t *testing.T, _ *link.TUN) { check(t, netlink.LinkDel(device(t, "r6t"))) }, link.ErrGone},
		"severed":     {func(t *testing.T, d *link.TUN) { check(t, d.Sever()) }, link.ErrInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			nstest.NoLeaks(t)
			d, err := link.CreateTUN("r6t", 3)
			check(t, err)
			setUp(t, "r6t")
			ended := make(chan error)
			for _, rx := range d.Receivers() {
				go func() {
					b := link.NewBatch(link.NewPool(1))
					for {
						if err := rx.Recv(b); err != nil {
							ended <- err
							return
						}
						b.End()
					}
				}()
			}
			tt.end(t, d)
			for range d.Receivers() {
				if err := <-ended; !errors.Is(err, tt.want) {
					t.Errorf("recv = %v, want %v", err, tt.want)
				}
			}
			check(t, d.Close())
			if exist("r6t") {
				t.Error("it is there after close")
			}
		})
	}
}

// A device that was made with one queue has one, whatever is asked for.
func TestAttachTUNTakesAsManyQueuesAsThereMayBe(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	persist(t, "one", netlink.TUNTAP_MODE_TUN, 0)
	persist(t, "many", netlink.TUNTAP_MODE_TUN, 1)
	for name, want := range map[string]int{"one": 1, "many": 3} {
		d, err := link.AttachTUN(name, 3)
		check(t, err)
		if got := len(d.Receivers()); got != want {
			t.Errorf("%s has %d queues, want %d", name, got, want)
		}
		check(t, d.Close())
	}
}

// A device that is read and written allocates nothing.
func TestTUNDoesNotAllocate(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	d, out := create(t, "r6t"), create(t, "r6out")
	setUp(t, "r6t")
	setUp(t, "r6out")
	const runs = 5
	in, err := netlab.OpenInjector(self(t), "r6t")
	check(t, err)
	for range (runs + 1) * link.VectorSize { // one run more to warm up
		check(t, in.Send(netlab.EtherTypeIPv6, packet(100)))
	}
	check(t, in.Close())
	b := link.NewBatch(link.NewPool(1))
	n := testing.AllocsPerRun(runs, func() {
		check(t, d.Recv(b))
		if b.Len() == 0 {
			t.Error("nothing was received")
		}
		check(t, out.Send(&b.Vector))
		b.End()
	})
	if n != 0 {
		t.Errorf("allocations for a batch = %v, want 0", n)
	}
	check(t, d.Close())
	check(t, out.Close())
}
