package capture

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
)

const red, blue = "2001:db8:1::2", "2001:db8:2::2"

var noon = time.Date(2026, 1, 2, 12, 0, 0, 123_456_000, time.Local)

// write is a capture of these packets, without an end.
func write(t *testing.T, all ...dataplane.Sight) (*bytes.Buffer, *Writer) {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, "red", 65575, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if err := w.Packet(&s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return &b, w
}

func inbound(pkt []byte, why dataplane.Drop) dataplane.Sight {
	return dataplane.Sight{At: noon, Direction: dataplane.Inbound, Drop: why, Size: len(pkt), Bytes: pkt}
}

// What was written can be read, each packet, its reason and what was lost.
func TestReaderReadsWhatWriterWrote(t *testing.T) {
	echo, odd := lab.Echo(red, blue, 1, 2, []byte("abc")), []byte{0x45}
	b, w := write(t, inbound(echo, dataplane.None), inbound(odd, dataplane.NotIPv6),
		dataplane.Sight{At: noon, Direction: dataplane.Outbound, Size: len(echo), Bytes: echo[:40]})
	if err := w.End(7); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Packet{
		{noon, dataplane.Inbound, "", len(echo), echo, false},
		{noon, dataplane.Inbound, "not_ipv6: another IP version, or no packet at all", 1, odd, false},
		{noon, dataplane.Outbound, "", len(echo), echo[:40], false},
	} {
		got, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !got.At.Equal(want.At) || got.Direction != want.Direction || got.Comment != want.Comment ||
			got.Size != want.Size || !bytes.Equal(got.Bytes, want.Bytes) {
			t.Errorf("read %+v, want %+v", got, want)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last packet: %v, want %v", err, io.EOF)
	}
	if lost, err := r.Lost(); lost != 7 || err != nil {
		t.Errorf("lost = %d, %v, want 7", lost, err)
	}
}

// A capture whose writer was cut off says so.
func TestCutCapture(t *testing.T) {
	b, _ := write(t, inbound(lab.Echo(red, blue, 1, 2, nil), dataplane.None))
	r, err := NewReader(b)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = r.Next()
	}
	if _, err := r.Lost(); !errors.Is(err, ErrCut) {
		t.Errorf("lost = %v, want %v", err, ErrCut)
	}
	if _, err := NewReader(strings.NewReader("")); !errors.Is(err, ErrCut) {
		t.Errorf("nothing = %v, want %v", err, ErrCut)
	}
}

// One line says what a person looks for.
func TestText(t *testing.T) {
	udp := lab.UDP(red, blue, 4000, 53, []byte("12"))
	const hosts = "12:00:00.123456 in  2001:db8:1::2 > 2001:db8:2::2 "
	for _, c := range []struct {
		pkt     []byte
		comment string
		want    string
	}{
		{udp, "", hosts + "UDP 4000 > 53, 50 bytes, hop limit 64"},
		{udp, "no_route: no route", hosts + "UDP 4000 > 53, 50 bytes, hop limit 64, dropped no_route: no route"},
		{udp[:40], "", hosts + "protocol 17, 40 bytes, hop limit 64"},
		{udp[:39], "", "12:00:00.123456 in  not IPv6, 39 bytes"},
		{nil, "", "12:00:00.123456 in  not IPv6, 0 bytes"},
		{lab.TCP(red, blue, 1, 2, header.FlagSYN|header.FlagACK, nil), "", hosts + "TCP 1 > 2 SYN ACK, 60 bytes, hop limit 64"},
		{lab.Echo(red, blue, 3, 4, nil), "", hosts + "ICMPv6 echo request, id 3, seq 4, 48 bytes, hop limit 64"},
		{lab.ICMPv6(red, blue, 2, 0, 1280, nil), "", hosts + "ICMPv6 packet too big, MTU 1280, 48 bytes, hop limit 64"},
		{lab.Options(udp, 0), "", hosts + "UDP 4000 > 53, 58 bytes, hop limit 64"},
		{lab.Options(udp, 0)[:44], "", hosts + "cut off, 44 bytes, hop limit 64"},
		{lab.Fragment(udp, 1, true), "", hosts + "fragment, 58 bytes, hop limit 64"},
	} {
		p := Packet{noon, dataplane.Inbound, c.comment, len(c.pkt), c.pkt, false}
		if got := p.String(); got != c.want {
			t.Errorf("text = %s\nwant   %s", got, c.want)
		}
	}
}

// Frames are frames to whoever reads them, and people see the stations.
func TestFrames(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, "lan", 65575, true)
	if err != nil {
		t.Fatal(err)
	}
	frame := lab.EthernetFrame(header.MAC{2, 0, 0, 0, 0, 1}, header.MAC{2, 0, 0, 0, 0, 2}, lab.Echo(red, blue, 1, 2, nil))
	s := inbound(frame, dataplane.None)
	if err := errors.Join(w.Packet(&s), w.End(0)); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Next()
	if err != nil || !p.Frame || !bytes.Equal(p.Bytes, frame) {
		t.Errorf("packet = %+v, %v", p, err)
	}
	if got, want := p.String(), "02:00:00:00:00:02 > 02:00:00:00:00:01 2001:db8:1::2 > 2001:db8:2::2 ICMPv6 echo request"; !strings.Contains(got, want) {
		t.Errorf("text = %q, want %q in it", got, want)
	}
}
