package capture

import (
	"bufio"
	"errors"
	"io"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/router6d/router6d/dataplane"
)

// readBuffer makes few writes of many packets for who has the stream copied.
const readBuffer = 64 << 10

// ErrCut means that a capture ends without its statistics.
var ErrCut = errors.New("capture: cut off")

// A Packet is one of a capture.
type Packet struct {
	At        time.Time
	Direction dataplane.Direction // zero if it is not told
	Comment   string              // why it was dropped; empty: it went on
	Size      int                 // on the interface
	Bytes     []byte              // what was kept of it
	Frame     bool                // it begins with an Ethernet header
}

// A Reader reads what a Writer wrote.
type Reader struct{ ng *pcapgo.NgReader }

// NewReader reads the beginning of a capture.
func NewReader(r io.Reader) (*Reader, error) {
	ng, err := pcapgo.NewNgReader(bufio.NewReaderSize(r, readBuffer), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		return nil, cut(err)
	}
	return &Reader{ng}, nil
}

// Next returns the next packet, and io.EOF at the end.
func (r *Reader) Next() (Packet, error) {
	b, ci, options, err := r.ng.ReadPacketDataWithOptions()
	if err != nil {
		return Packet{}, err
	}
	p := Packet{At: ci.Timestamp, Size: ci.Length, Frame: r.ng.LinkType() == layers.LinkTypeEthernet, Bytes: b}
	if f := options.Flags; f != nil {
		p.Direction = dataplane.Direction(f.Direction & pcapgo.NgEpbFlagDirectionMask)
	}
	if len(options.Comments) > 0 {
		p.Comment = options.Comments[0]
	}
	return p, nil
}

// Lost is how many packets the capture lacks, after its end.
func (r *Reader) Lost() (uint64, error) {
	i, err := r.ng.Interface(0)
	if err != nil {
		return 0, err
	}
	if i.Statistics.LastUpdate.IsZero() {
		return 0, ErrCut
	}
	return i.Statistics.PacketsDropped, nil
}

// cut says what the end of the stream means where there is none to be.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCut
	}
	return err
}
