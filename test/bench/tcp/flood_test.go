//go:build bench

package tcp

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

const (
	synsPerSecond = 20_000
	crowdNetworks = 10_000
	dials         = 9
)

// TestBenchSYNFlood prints what one connection carries in transit while SYNs from a
// crowd come to an open port of the router's, and while they come to an address that is
// a black hole: what is between is what answers cost. And how long it takes to connect.
//
// Nobody in the crowd's namespace has the addresses that SYNs come from, so answers end
// there, unanswered.
func TestBenchSYNFlood(t *testing.T) {
	nstest.Privileged(t)
	inband := newInband(t)
	connect(t, inband.ns, discard).Close() // it is there
	ns, err := netlab.OpenNamespace("r6t-crowd")
	check(t, err)
	_, err = ns.WaitLink(t.Context(), "crowd", func(l netlab.Link) bool { return l.Up })
	check(t, err)
	to := func(name, address string) contender {
		syns := newCrowd(address)
		return contender{name, inband.pid, func() float64 {
			stop := flood(t, ns, syns)
			defer stop()
			through := transit(t, inband.ns)
			time.Sleep(measured())
			return through()
		}}
	}
	compare(t, "transit_beside_syns_vs_blackholed", to("transit_beside_syns", server.String()), to("transit_beside_blackholed_syns", "2001:db8:f::1"))
	stop := flood(t, ns, newCrowd(server.String()))
	defer stop()
	time.Sleep(measured())
	var took []float64
	for range dials {
		began := time.Now()
		var c net.Conn
		check(t, inband.ns.Do(func() (err error) { c, err = net.DialTimeout("tcp6", discard.String(), patience); return err }))
		took = append(took, float64(time.Since(began).Microseconds())/1000)
		check(t, c.Close())
	}
	fmt.Printf("figure connect_beside_syns_ms %.3g %.3g\n", median(took), took)
}

// A crowd sends SYNs from many networks, each from another port than the last one.
type crowd struct {
	syn  header.IPv6
	sent int
}

func newCrowd(to string) *crowd {
	return &crowd{syn: lab.TCP("2001:db9::1", to, 0, 9, header.FlagSYN, nil)}
}

// next is good until it is called again.
func (c *crowd) next() []byte {
	src, tcp := c.syn.SourceBytes(), header.TCP(c.syn[header.IPv6Size:])
	binary.BigEndian.PutUint32(src[4:], uint32(c.sent%crowdNetworks))
	binary.BigEndian.PutUint16(tcp, uint16(1024+c.sent%64_511)) // coprime: none comes again soon
	tcp.SetChecksum(0)
	tcp.SetChecksum(header.Checksum(src, c.syn.DestinationBytes(), header.ProtoTCP, tcp))
	c.sent++
	return c.syn
}

// flood has the crowd send until it is stopped.
func flood(t *testing.T, ns *netlab.Namespace, c *crowd) (stop func()) {
	t.Helper()
	inject, err := netlab.OpenInjector(ns, "crowd")
	check(t, err)
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for began, sent := time.Now(), 0; ; {
			for due := int(time.Since(began).Seconds() * synsPerSecond); sent < due; sent++ {
				_ = inject.Send(netlab.EtherTypeIPv6, c.next()) // lost if the device is full
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		close(done)
		all.Wait()
		check(t, inject.Close())
	}
}
