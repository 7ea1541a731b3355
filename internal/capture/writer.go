package capture

import (
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/router6d/router6d/dataplane"
)

// A Writer writes one capture. What it has written is on its way after Flush.
type Writer struct {
	*pcapgo.NgWriter
	seen uint64
}

// NewWriter begins a capture of an interface, of packets or of Ethernet frames.
func NewWriter(w io.Writer, iface string, snap int, frames bool) (*Writer, error) {
	kind := layers.LinkTypeRaw
	if frames {
		kind = layers.LinkTypeEthernet
	}
	ng, err := pcapgo.NewNgWriterInterface(w, pcapgo.NgInterface{
		Name: iface, LinkType: kind, SnapLength: uint32(snap),
	}, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "router6d"}})
	if err != nil {
		return nil, err
	}
	return &Writer{NgWriter: ng}, nil
}

// directions in the words of pcapng.
var directions = map[dataplane.Direction]pcapgo.NgEpbFlag{
	dataplane.Inbound:  pcapgo.NgEpbFlagDirectionInbound,
	dataplane.Outbound: pcapgo.NgEpbFlagDirectionOutbound,
}

// Packet writes one packet.
func (w *Writer) Packet(s *dataplane.Sight) error {
	options := pcapgo.NgPacketOptions{Flags: &pcapgo.NgEpbFlags{Direction: directions[s.Direction]}}
	if s.Drop != dataplane.None {
		options.Comments = []string{s.Drop.String() + ": " + s.Drop.Text()}
	}
	w.seen++
	return w.WritePacketWithOptions(gopacket.CaptureInfo{
		Timestamp: s.At, CaptureLength: len(s.Bytes), Length: s.Size,
	}, s.Bytes, options)
}

// Seen is the number of packets written.
func (w *Writer) Seen() uint64 { return w.seen }

// End writes how many packets were lost, and flushes.
func (w *Writer) End(lost uint64) error {
	err := w.WriteInterfaceStats(0, pcapgo.NgInterfaceStatistics{
		LastUpdate: time.Now(), PacketsReceived: w.seen + lost, PacketsDropped: lost,
	})
	if err != nil {
		return err
	}
	return w.Flush()
}
