package header_test

import (
	"bytes"
	"testing"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
)

// segment is a TCP segment with options in front of its data.
func segment(flags uint8, options ...byte) []byte {
	pkt := lab.TCP("2001:db8:1::2", "2001:db8:9::9", 1000, 80, flags, options)
	ip := header.IPv6(pkt)
	tcp := header.TCP(pkt[header.IPv6Size:])
	tcp[12] = byte((header.TCPSize+len(options))/4) << 4
	tcp.SetChecksum(0)
	tcp.SetChecksum(lab.Checksum(*ip.SourceBytes(), *ip.DestinationBytes(), header.ProtoTCP, tcp))
	return pkt
}

func TestClampMSS(t *testing.T) {
	for _, tt := range []struct {
		name    string
		flags   uint8
		options []byte
		at      int // of the MSS in the options; -1: it is left alone
	}{
		{"a SYN that asks for too much", header.FlagSYN, []byte{2, 4, 0x05, 0xa0}, 2},
		{"a SYN with ACK", header.FlagSYN | header.FlagACK, []byte{2, 4, 0x05, 0xa0}, 2},
		{"at an odd offset", header.FlagSYN, []byte{1, 2, 4, 0x05, 0xa0, 1, 1, 1}, 3},
		{"behind others", header.FlagSYN, []byte{3, 3, 7, 1, 2, 4, 0xff, 0xff}, 6},
		{"one that asks for less", header.FlagSYN, []byte{2, 4, 0x05, 0x00}, -1},
		{"no SYN", header.FlagACK, []byte{2, 4, 0x05, 0xa0}, -1},
		{"no options", header.FlagSYN, nil, -1},
		{"behind the end of options", header.FlagSYN, []byte{0, 2, 4, 0x05, 0xa0, 0, 0, 0}, -1},
		{"an option of no length", header.FlagSYN, []byte{9, 0, 2, 4}, -1},
		{"an option over the end", header.FlagSYN, []byte{1, 1, 2, 40}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pkt := segment(tt.flags, tt.options...)
			before := bytes.Clone(pkt)
			if got := header.ClampMSS(pkt, 1432); got != (tt.at >= 0) {
				t.Errorf("clamped = %v", got)
			}
			if tt.at < 0 {
				if !bytes.Equal(pkt, before) {
					t.Error("changed nevertheless")
				}
				return
			}
			v := pkt[header.IPv6Size+header.TCPSize+tt.at:]
			if mss := int(v[0])<<8 | int(v[1]); mss != 1432 || !lab.ChecksumRight(pkt) {
				t.Errorf("MSS = %d, checksum right: %v", mss, lab.ChecksumRight(pkt))
			}
		})
	}
}

// FuzzClampMSS leaves the checksum of whatever it changes as right as it was.
func FuzzClampMSS(f *testing.F) {
	f.Add(segment(header.FlagSYN, 2, 4, 0x05, 0xa0))
	f.Add(segment(header.FlagSYN, 1, 2, 4, 0x05, 0xa0, 1, 1, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		pkt, ok := header.ParseIPv6(b)
		if !ok {
			return
		}
		right := pkt.NextHeader() == header.ProtoTCP && lab.ChecksumRight(pkt)
		if header.ClampMSS(pkt, 1432) && right && !lab.ChecksumRight(pkt) {
			t.Errorf("checksum of %x is wrong", pkt)
		}
		if header.ClampMSS(pkt, 1432) {
			t.Error("clamped twice")
		}
	})
}

// TestClampMSS4 is of IPv4, with and without options, and of what is left alone.
func TestClampMSS4(t *testing.T) {
	packet := func(change func(b []byte), options ...byte) []byte {
		tcp := []byte{0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 6 << 4, header.FlagSYN, 0, 0, 0, 0, 0, 0, 2, 4, 1460 >> 8, 1460 & 0xff}
		b := append(make([]byte, header.IPv4Size), options...)
		b[0], b[9] = 4<<4|byte(len(b)/4), header.ProtoTCP
		b = append(b, tcp...)
		b[3] = byte(len(b))
		at := header.TCP(b[len(b)-len(tcp):])
		at.SetChecksum(^header.Fold(header.Sum(at, 0)))
		change(b)
		return b
	}
	for _, tt := range []struct {
		name string
		pkt  []byte
		want bool
	}{
		{"a SYN", packet(func([]byte) {}), true},
		{"a SYN behind options", packet(func([]byte) {}, 1, 1, 1, 0), true},
		{"a later fragment", packet(func(b []byte) { b[7] = 1 }), false},
		{"not TCP", packet(func(b []byte) { b[9] = header.ProtoUDP }), false},
		{"no SYN", packet(func(b []byte) { b[33] = header.FlagACK }), false},
		{"cut short", packet(func(b []byte) { b[3] = 30 })[:30], false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, ok := header.IPv4Length(tt.pkt); !ok {
				t.Fatal("no IPv4 packet")
			}
			if got := header.ClampMSS4(tt.pkt, 1452); got != tt.want {
				t.Fatalf("clamped = %v, want %v", got, tt.want)
			}
			tcp := tt.pkt[int(tt.pkt[0]&0xf)*4:]
			if tt.want && (int(tcp[22])<<8|int(tcp[23]) != 1452 || header.Fold(header.Sum(tcp, 0)) != 0xffff) {
				t.Errorf("%x, want an MSS of 1452 and a good checksum", tcp)
			}
		})
	}
}

// FuzzClampMSS4 takes anything that is a whole IPv4 packet.
func FuzzClampMSS4(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 44, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x60, 2, 0, 0, 0, 0, 0, 0, 2, 4, 5, 180})
	f.Add([]byte{0x4f, 0, 0, 60})
	f.Fuzz(func(t *testing.T, b []byte) {
		size, ok := header.IPv4Length(b)
		if ok && header.ClampMSS4(b[:size], 1452) && header.ClampMSS4(b[:size], 1452) {
			t.Error("it was clamped twice")
		}
	})
}
