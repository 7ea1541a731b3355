package netlab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A probe's datagram begins with 24 bits of the probe's number, 40 of a
// sequence number and 64 of the time it was sent; noise fills it up.
const (
	stampSize  = 16
	seqBits    = 40 // at a million packets a second: twelve days
	headerSize = 40 + 8

	minProbe = headerSize + stampSize // 64 bytes, the smallest packet of all benchmarks
	maxProbe = 65535
)

// ProbeConfig says what a probe is to do.
type ProbeConfig struct {
	FromNS *Namespace
	From   netip.AddrPort // port 0: the kernel chooses
	ToNS   *Namespace
	To     netip.AddrPort // port 0: the kernel chooses

	PacketsPerSecond int
	PacketBytes      int // of the whole IPv6 packet, 64 or more; 0 is 64
}

// A UDPProbe is a paced stream of numbered datagrams, and the count of how
// they arrive.
type UDPProbe struct {
	sender   *udpSender
	receiver *udpReceiver
	cancel   context.CancelFunc
	sending  sync.WaitGroup
	received chan struct{} // closed: the receiver is done

	stop  sync.Once
	final UDPReport
	err   error
}

// A UDPReport is what a probe has seen. All but durations are packets, and
// but for SendErrors and ICMPErrors those of this probe only.
type UDPReport struct {
	Sent     uint64 // taken by the kernel
	Received uint64 // once each, and right
	// Missing are those sent and not received; from a living probe, those
	// not received before a later one was. Reordered are among Received.
	Missing, Reordered, Duplicated uint64
	// Misdelivered came to the receiver's port without being this probe's;
	// Corrupt were this probe's with other bytes than were sent.
	Misdelivered, Corrupt uint64
	// Stale came so late that they may be duplicates; they count as Missing.
	Stale uint64
	// SocketDrops, among Missing, got as far as the receiver's socket: they
	// are the fault of this machine, not of the path.
	SocketDrops uint64

	// SendErrors count the calls that sent nothing. Their numbers are given
	// to the next packet, so they are not missing.
	SendErrors map[syscall.Errno]uint64
	// ICMPErrors count the ICMPv6 errors that came back, and PathErrors the
	// same by the errno the kernel makes of them.
	ICMPErrors map[ICMPError]uint64
	PathErrors map[syscall.Errno]uint64

	Median, P99, Max time.Duration // from send to receive
	Silence          time.Duration // the longest time between two arrivals
}

// An ICMPError is the type and code of an ICMPv6 error message, as {1, 4} for
// a port unreachable.
type ICMPError struct{ Type, Code uint8 }

var probes atomic.Uint64 // a number for each, so that two can be told apart

// StartUDPProbe opens both ends and starts to send. The end of ctx ends the
// sending; Stop must still be called. Opening fails if there is no route yet;
// once it runs, no error ends it.
func StartUDPProbe(ctx context.Context, c ProbeConfig) (*UDPProbe, error) {
	p, err := openProbe(c)
	if err != nil {
		return nil, fmt.Errorf("start udp probe from %v to %v: %w", c.From, c.To, err)
	}
	ctx, p.cancel = context.WithCancel(ctx)
	p.sending.Go(func() { p.sender.run(ctx) })
	go func() {
		defer close(p.received)
		p.receiver.run()
	}()
	return p, nil
}

// Report returns the counters as they are now. Once the probe is stopped, the
// report to read is the one that Stop returned.
func (p *UDPProbe) Report() UDPReport {
	var r UDPReport
	p.receiver.report(&r)
	p.sender.report(&r)
	return r
}

// To is where the probe goes, with the port the kernel chose.
func (p *UDPProbe) To() netip.AddrPort { return p.receiver.addr }

// Stop ends the sending, waits for what is still on its way, and returns the
// final report. It waits until all have come, or none has for half a second,
// or ctx is over; whatever comes later is missing. The error is about the
// probe, never about the path. Calling it again returns the same.
func (p *UDPProbe) Stop(ctx context.Context) (UDPReport, error) {
	p.stop.Do(func() {
		p.cancel()
		p.sending.Wait()
		p.receiver.expect(p.sender.sent.Load())
		select {
		case <-p.received:
		case <-ctx.Done():
			p.receiver.giveUp()
			<-p.received
		}
		p.sender.collect() // what came back for the last ones
		p.final = p.Report()
		p.final.Missing = p.final.Sent - min(p.final.Received, p.final.Sent)
		p.err = errors.Join(p.sender.err, p.receiver.err, p.close())
	})
	return p.final, p.err
}

func (p *UDPProbe) close() error {
	return errors.Join(p.sender.file.Close(), p.receiver.file.Close())
}

func openProbe(c ProbeConfig) (*UDPProbe, error) {
	if c.PacketBytes == 0 {
		c.PacketBytes = minProbe
	}
	if c.PacketBytes < minProbe || c.PacketBytes > maxProbe {
		return nil, fmt.Errorf("packets of %d bytes: not within %d to %d", c.PacketBytes, minProbe, maxProbe)
	}
	if c.PacketsPerSecond <= 0 {
		return nil, fmt.Errorf("%d packets a second", c.PacketsPerSecond)
	}
	id := probes.Add(1) % (1 << (64 - seqBits))
	payload := make([]byte, c.PacketBytes-headerSize)
	_ = copy(payload, newPattern(id).next(len(payload)))
	r, err := openUDPReceiver(c, id, payload)
	if err != nil {
		return nil, err
	}
	s, err := openUDPSender(c, r.addr, id, payload)
	if err != nil {
		_ = r.file.Close()
		return nil, err
	}
	return &UDPProbe{sender: s, receiver: r, received: make(chan struct{})}, nil
}
