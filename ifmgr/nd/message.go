package nd

import (
	"encoding/binary"
	"time"

	"github.com/router6d/router6d/internal/header"
)

// A Message is what a valid message says, without pointers into the packet.
type Message struct {
	Type                        uint8      // header.Type…
	From                        header.MAC // the station whose frame it came in; Parse leaves it
	Source, Destination, Target [16]byte   // Target is the group, in a query

	LinkLayer    header.MAC // of the source; of the target in advertisements and redirects
	HasLinkLayer bool
	Nonce        [6]byte // RFC 3971 §5.3.2, for loops as RFC 7527 uses it
	HasNonce     bool

	Router, Solicited, Override bool // of advertisements; Router of those of routers too

	Query Query

	// Answered is set by whoever has sent what the message asks for.
	Answered bool
}

// A Query is what a Multicast Listener Query says, RFC 3810 §5.1.
type Query struct {
	Version     int // 1 or 2
	MaxResponse time.Duration
	Robustness  int           // zero: not said
	Interval    time.Duration // zero: not said
}

// An Invalid is why a message is silently discarded.
type Invalid uint8

// The reasons. The zero value is none: the message is valid.
const (
	Valid          Invalid = iota
	NotOfND                // another type of message
	BadHopLimit            // it came from elsewhere: RFC 4861 §7.1, RFC 3810 §5
	BadCode                // not 0
	BadLength              // shorter than its type is
	BadOption              // an option of length 0, or one that leaves the message
	BadLinkLayer           // a link-layer address that is no station's
	BadTarget              // multicast, or in a redirect no neighbor
	BadSource              // a group, or not link-local where that is asked for
	BadUnspecified         // from ::, and not as RFC 4861 §7.1.1 has it
	BadSolicited           // an advertisement for all that says it was asked for
	Fragmented             // RFC 6980 §5
	NoRouterAlert          // RFC 3810 §6.2
	NotForThisLink         // a group of MLD that is not one
	invalids
)

var invalidNames = [invalids]string{
	"valid", "not_nd", "hop_limit", "code", "length", "option", "link_layer", "target", "source",
	"unspecified", "solicited", "fragmented", "router_alert", "group",
}

// String is the reason's name in metrics.
func (i Invalid) String() string { return invalidNames[i] }

// Invalids lists every reason.
func Invalids() []Invalid {
	all := make([]Invalid, 0, invalids-1)
	for i := Valid + 1; i < invalids; i++ {
		all = append(all, i)
	}
	return all
}

// Options of neighbor discovery, RFC 4861 §4.6 and RFC 3971 §5.3.
const (
	optionSource     = 1
	optionTarget     = 2
	optionRedirected = 4
	optionNonce      = 14
)

const (
	ndHopLimit  = 255 // nobody has forwarded it
	mldHopLimit = 1

	flagRouter, flagSolicited, flagOverride = 0x80, 0x40, 0x20
)

// Concerns reports whether a message of the type is one for Parse: of neighbor
// discovery, or a query for listeners.
func Concerns(typ uint8) bool {
	return typ >= header.TypeRouterSolicitation && typ <= header.TypeRedirect || typ == header.TypeMLDQuery
}

// Parse reads the message at an offset of pkt, which came in fragments or not, and
// says what is wrong with it if it is to be discarded. The caller has seen that the
// extension headers are whole, that the checksum is right, and that the message has
// header.ICMPv6Size bytes.
func Parse(pkt header.IPv6, at int, fragmented bool, m *Message) Invalid {
	msg := header.ICMPv6(pkt[at:])
	switch {
	case !Concerns(msg.Type()):
		return NotOfND
	case fragmented:
		return Fragmented
	}
	*m = Message{From: m.From, Type: msg.Type(), Source: *pkt.SourceBytes(), Destination: *pkt.DestinationBytes()}
	switch {
	case header.IsMulticast(&m.Source):
		return BadSource
	case m.Type == header.TypeMLDQuery:
		return m.query(pkt, msg)
	case pkt.HopLimit() != ndHopLimit:
		return BadHopLimit
	case msg.Code() != 0:
		return BadCode
	}
	switch m.Type {
	case header.TypeRouterSolicitation:
		return m.routerSolicitation(msg)
	case header.TypeRouterAdvertisement:
		return m.routerAdvertisement(msg)
	case header.TypeNeighborSolicitation:
		return m.neighborSolicitation(msg)
	case header.TypeNeighborAdvertisement:
		return m.neighborAdvertisement(msg)
	}
	return m.redirect(msg)
}

func (m *Message) routerSolicitation(msg []byte) Invalid {
	if why := m.options(msg, header.ICMPv6Size, optionSource); why != Valid {
		return why
	}
	if header.IsUnspecified(&m.Source) && m.HasLinkLayer {
		return BadUnspecified
	}
	return Valid
}

func (m *Message) routerAdvertisement(msg []byte) Invalid {
	if !header.IsLinkLocal(&m.Source) {
		return BadSource
	}
	m.Router = true
	return m.options(msg, 16, optionSource)
}

func (m *Message) neighborSolicitation(msg []byte) Invalid {
	if why := m.readTarget(msg, optionSource); why != Valid {
		return why
	}
	if header.IsUnspecified(&m.Source) && (m.HasLinkLayer || !header.IsSolicitedNode(&m.Destination)) {
		return BadUnspecified
	}
	return Valid
}

func (m *Message) neighborAdvertisement(msg []byte) Invalid {
	if why := m.readTarget(msg, optionTarget); why != Valid {
		return why
	}
	flags := msg[4]
	m.Router, m.Solicited, m.Override = flags&flagRouter != 0, flags&flagSolicited != 0, flags&flagOverride != 0
	if header.IsMulticast(&m.Destination) && m.Solicited {
		return BadSolicited
	}
	return Valid
}

// redirect is checked, and then of no use: a router knows its routes, RFC 4861
// §8.3.
func (m *Message) redirect(msg []byte) Invalid {
	const size = 40
	if !header.IsLinkLocal(&m.Source) {
		return BadSource
	}
	if why := m.options(msg, size, optionTarget); why != Valid {
		return why
	}
	m.Target = [16]byte(msg[8:])
	to := [16]byte(msg[24:])
	if header.IsMulticast(&to) || !header.IsLinkLocal(&m.Target) && m.Target != to {
		return BadTarget
	}
	return Valid
}

// readTarget is the part that solicitations and advertisements share.
func (m *Message) readTarget(msg []byte, linkLayer uint8) Invalid {
	const size = 24
	if len(msg) < size {
		return BadLength
	}
	if m.Target = [16]byte(msg[8:]); header.IsMulticast(&m.Target) {
		return BadTarget
	}
	return m.options(msg, size, linkLayer)
}

// options reads those behind the first size bytes. Which of them is the
// link-layer address that counts depends on the message; unknown ones are
// ignored.
func (m *Message) options(msg []byte, size int, linkLayer uint8) Invalid {
	if len(msg) < size {
		return BadLength
	}
	for b := msg[size:]; len(b) > 0; {
		if len(b) < 2 || b[1] == 0 || int(b[1])*8 > len(b) {
			return BadOption
		}
		n := int(b[1]) * 8
		switch b[0] {
		case linkLayer:
			if m.LinkLayer = header.MAC(b[2:]); n != 8 || !isStation(&m.LinkLayer) {
				return BadLinkLayer
			}
			m.HasLinkLayer = true
		case optionNonce:
			if n == 8 {
				m.Nonce, m.HasNonce = [6]byte(b[2:]), true
			}
		}
		b = b[n:]
	}
	return Valid
}

func isStation(m *header.MAC) bool { return !header.IsGroupMAC(m) && *m != header.MAC{} }

// query reads a Multicast Listener Query. Which sources it asks for is of no
// interest: the router listens to all of them, and says so.
func (m *Message) query(pkt header.IPv6, msg []byte) Invalid {
	const version1, version2 = 24, 28
	switch {
	case pkt.HopLimit() != mldHopLimit:
		return BadHopLimit
	case !header.IsLinkLocal(&m.Source):
		return BadSource
	case !hasRouterAlert(pkt):
		return NoRouterAlert
	case len(msg) < version1, len(msg) > version1 && len(msg) < version2:
		return BadLength
	}
	code := binary.BigEndian.Uint16(msg[4:])
	if m.Target = [16]byte(msg[8:]); !header.IsUnspecified(&m.Target) && !header.IsMulticast(&m.Target) {
		return NotForThisLink
	}
	if len(msg) == version1 {
		m.Query = Query{Version: 1, MaxResponse: time.Duration(code) * time.Millisecond}
		return Valid
	}
	m.Query = Query{ // the code field is ignored, RFC 3810 §5.1.1
		Version:     2,
		MaxResponse: time.Duration(floating(uint32(code), 12)) * time.Millisecond,
		Robustness:  int(msg[24] & 7),
		Interval:    time.Duration(floating(uint32(msg[25]), 4)) * time.Second,
	}
	return Valid
}

// floating is a code of RFC 3810 §5.1.3 and §5.1.9: small values stand for
// themselves; others are an exponent of three bits above a mantissa of so many,
// whose leading one is not sent.
func floating(code uint32, mantissa uint) uint32 {
	top := uint32(1) << (mantissa + 3)
	if code < top {
		return code
	}
	exp := code >> mantissa & 7
	return (code&(1<<mantissa-1) | 1<<mantissa) << (exp + 3)
}

// hasRouterAlert looks for the option of RFC 2711 in the hop-by-hop header, which is
// whole.
func hasRouterAlert(pkt header.IPv6) bool {
	if pkt.NextHeader() != header.ProtoHopByHop {
		return false
	}
	b := pkt.Payload()
	for b = b[2 : (int(b[1])+1)*8]; len(b) > 0; {
		switch {
		case b[0] == 0: // Pad1
			b = b[1:]
			continue
		case len(b) < 2, len(b) < 2+int(b[1]):
			return false
		case b[0] == optionRouterAlert:
			return b[1] == 2 && b[2] == 0 && b[3] == 0 // for MLD
		}
		b = b[2+int(b[1]):]
	}
	return false
}

const optionRouterAlert = 5 // RFC 2711 §2.1
