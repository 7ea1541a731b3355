package header_test

import (
	"bytes"
	"testing"

	"github.com/router6d/router6d/internal/header"
)

// request is an echo request for dst.
func request(dst *[16]byte) header.IPv6 {
	return packet(host, dst, 58, icmp(host, dst, header.TypeEchoRequest, "some data"))
}

// Proves:
//   - RFC 4443 §4.2 reply-data
func TestRFC4443_4_2_ReplyGoesBack(t *testing.T) {
	for _, c := range []struct {
		name   string
		pkt    header.IPv6
		source *[16]byte
	}{
		{"to a unicast request from its destination", request(peer), peer},
		{"to a group's request from a unicast address", request(group), router},
		{"without the hop-by-hop header", packet(host, peer, 0, unhex("3a00"+hopByHop), icmp(host, peer, header.TypeEchoRequest, "some data")), peer},
		{"without a long chain", packet(host, peer, 43, unhex("3c02"+routed+"3a05"), make([]byte, 46), icmp(host, peer, header.TypeEchoRequest, "some data")), peer},
		{"to an atomic fragment", packet(host, peer, 44, unhex("3a00 0000 00000001"), icmp(host, peer, header.TypeEchoRequest, "some data")), peer},
		{"without the padding of the link", append(request(peer), 0, 0, 0), peer},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := header.EchoReply(c.pkt, c.source)
			if !ok {
				t.Fatal("no reply")
			}
			want := packet(c.source, host, 58, icmp(c.source, host, header.TypeEchoReply, "some data"))
			if !bytes.Equal(got, want) {
				t.Errorf("reply =\n%x, want\n%x", []byte(got), []byte(want))
			}
		})
	}
}

func TestEchoReplySourceMayLieInThePacket(t *testing.T) {
	p := request(peer)
	got, ok := header.EchoReply(p, p.DestinationBytes())
	if !ok || *got.SourceBytes() != *peer || *got.DestinationBytes() != *host {
		t.Errorf("reply = %v -> %v, %v", got.Source(), got.Destination(), ok)
	}
}

func TestEchoReplyKeepsTrafficClassAndFlowLabel(t *testing.T) {
	p := request(peer)
	copy(p, unhex("6abc def0"))
	got, _ := header.EchoReply(p, peer)
	if got.TrafficClass() != 0xab || got.FlowLabel() != 0xcdef0 {
		t.Errorf("traffic class, flow label = %#x, %#x, want 0xab, 0xcdef0", got.TrafficClass(), got.FlowLabel())
	}
}

func TestEchoReplyRefuses(t *testing.T) {
	echo := icmp(host, peer, header.TypeEchoRequest, "some data")
	withCode := icmp(host, peer, header.TypeEchoRequest, "")
	withCode[1] = 1
	for _, c := range []struct {
		name string
		pkt  header.IPv6
	}{
		{"nothing", nil},
		{"a cut packet", request(peer)[:50]},
		{"a reply", packet(host, peer, 58, icmp(host, peer, header.TypeEchoReply, ""))},
		{"a request with a code", packet(host, peer, 58, withCode)},
		{"a message without identifier", packet(host, peer, 58, echo[:7])},
		{"UDP", packet(host, peer, 17, echo)},
		{"a request from nobody", packet(nobody, peer, 58, echo)},
		{"a request from a group", packet(group, peer, 58, echo)},
		{"a first fragment", packet(host, peer, 44, unhex("3a00 0001 00000001"), echo)},
		{"a later fragment", packet(host, peer, 44, unhex("3a00 0008 00000001"), echo)},
		{"a request with segments left", packet(host, peer, 43, unhex("3a02"+routing0), echo)},
		{"a broken chain", packet(host, peer, 0, unhex("3aff"+hopByHop), echo)},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := bytes.Clone(c.pkt)
			if got, ok := header.EchoReply(c.pkt, peer); ok {
				t.Errorf("reply = %x, want none", []byte(got))
			}
			if !bytes.Equal(c.pkt, before) {
				t.Errorf("packet = %x, want as it was", []byte(c.pkt))
			}
		})
	}
}

func FuzzEchoReply(f *testing.F) {
	f.Add([]byte(request(peer)), peer[:])                                                                   // a plain ping
	f.Add([]byte(request(group)), router[:])                                                                // all nodes
	f.Add([]byte(packet(host, peer, 44, unhex("3a00 0000 00000001"), icmp(host, peer, 128, "x"))), peer[:]) // atomic fragment, odd
	f.Add([]byte(request(addr("ff02::ffff:7eff"))), bytes.Repeat([]byte{0xff}, 16))                         // carries in every word
	f.Fuzz(func(t *testing.T, b, from []byte) {
		var source [16]byte
		copy(source[:], from)
		before := header.IPv6(bytes.Clone(b))
		reply, ok := header.EchoReply(b, &source)
		if !ok {
			if !bytes.Equal(b, before) {
				t.Fatal("refused, yet changed")
			}
			return
		}
		before, _ = header.ParseIPv6(before)
		u, _ := header.UpperLayer(before)
		if p, whole := header.ParseIPv6(reply); !whole || len(p) != len(reply) {
			t.Fatalf("not a packet: %x", []byte(reply))
		}
		if *reply.SourceBytes() != source || *reply.DestinationBytes() != *before.SourceBytes() {
			t.Fatalf("reply goes from %v to %v", reply.Source(), reply.Destination())
		}
		if got, want := verifies(reply, header.IPv6Size), verifies(before, u.Offset); got != want {
			t.Fatalf("checksum right = %v, was %v", got, want)
		}
		if got, want := reply[header.IPv6Size+4:], before[u.Offset+4:]; !bytes.Equal(got, want) {
			t.Fatalf("identifier, number and data = %x, want %x", []byte(got), []byte(want))
		}
	})
}
