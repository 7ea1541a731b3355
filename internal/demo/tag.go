package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/netlab"
)

const (
	firstTag = 0x10000 // number of the link of the first incarnation
	tagPort  = 5203
	tagRate  = 2000 // packets a second
	tagPast  = 8    // incarnations that are written to: this one and those before it
)

// An incarnation is one interface of the churn, from its making to its end.
type incarnation struct {
	name   string
	number int
	ns     *netlab.Namespace
	ended  chan struct{} // closed when the router has detached it

	capture *netlab.Capture // of its kernel end
}

// deleteNamespace ends the namespace with all that is in it. A socket there
// would keep it alive, so the capture goes first.
func (i *incarnation) deleteNamespace() error {
	if err := i.capture.Close(); err != nil && !errors.Is(err, os.ErrClosed) { // its device may have gone first
		return err
	}
	return i.ns.Delete()
}

// waitEnd returns when the router has noticed the end.
func (i *incarnation) waitEnd() error {
	select {
	case <-i.ended:
		return nil
	case <-time.After(cleanupTimeout):
		return fmt.Errorf("%s: its end was not noticed in %v", i.name, cleanupTimeout)
	}
}

// tags counts packets that arrive on interfaces of the churn, by whether they
// were meant for it.
type tags struct {
	newest       atomic.Int64 // incarnation
	right, wrong atomic.Uint64
	sent         atomic.Uint64
	readers      sync.WaitGroup
}

// follow reads what arrives on the incarnation's device until that ends, or the
// capture is closed.
func (t *tags) follow(i *incarnation) (err error) {
	i.capture, err = netlab.OpenCapture(i.ns, i.name, netlab.CaptureConfig{IgnoreOutgoing: true})
	if err != nil {
		return err
	}
	t.newest.Store(int64(i.number))
	t.readers.Go(func() { t.read(i) })
	return nil
}

func (t *tags) read(i *incarnation) {
	defer i.capture.Close() //nolint:errcheck // nothing was written
	buf := make([]byte, link.MaxPacket)
	for {
		p, err := i.capture.Read(buf)
		if err != nil {
			return
		}
		t.check(header.IPv6(buf[:p.Len]), i)
	}
}

// check looks at one packet that arrived: all that the demo sends to addresses
// of the churn carries the number of the incarnation it is for.
func (t *tags) check(pkt header.IPv6, i *incarnation) {
	u, ok := header.UpperLayer(pkt)
	if !ok || u.Protocol != header.ProtoUDP || len(pkt) < u.Offset+header.UDPSize+8 {
		return
	}
	if header.UDP(pkt[u.Offset:]).DestinationPort() != tagPort {
		return
	}
	if binary.BigEndian.Uint64(pkt[u.Offset+header.UDPSize:]) == uint64(i.number) {
		t.right.Add(1)
	} else {
		t.wrong.Add(1)
	}
}

// tagged sends to the newest incarnation and to those just before it, which
// are ending or gone: their packets may go nowhere, but to nobody else.
func (s *stage) tagged(ctx context.Context) {
	conn, err := s.tagSocket()
	if err != nil {
		s.fault(err)
		return
	}
	defer conn.Close() //nolint:errcheck // nothing is lost
	tick := time.NewTicker(time.Second / tagRate)
	defer tick.Stop()
	var tag [8]byte
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		number := s.tags.newest.Load() - int64(n%tagPast)
		if number <= 0 {
			continue
		}
		binary.BigEndian.PutUint64(tag[:], uint64(number))
		to := netip.AddrPortFrom(end(wire(firstTag+int(number)), 2), tagPort)
		// Errors are ICMPv6 answers to earlier packets.
		if _, err := conn.WriteToUDPAddrPort(tag[:], to); err == nil {
			s.tags.sent.Add(1)
		}
	}
}

func (s *stage) tagSocket() (conn *net.UDPConn, err error) {
	err = s.ns["west"].Do(func() error {
		conn, err = net.ListenUDP("udp6", &net.UDPAddr{IP: end(wire(1), 2).AsSlice()})
		return err
	})
	return conn, err
}
