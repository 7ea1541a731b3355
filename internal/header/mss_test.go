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
