package header

import "encoding/binary"

// ICMPv6Size is the length of the ICMPv6 header with the 32 bits that every
// message has after the checksum, RFC 4443 §2.1.
const ICMPv6Size = 8

// Types of ICMPv6 messages.
const (
	TypeDestinationUnreachable = 1   // RFC 4443 §3.1
	TypePacketTooBig           = 2   // RFC 4443 §3.2
	TypeTimeExceeded           = 3   // RFC 4443 §3.3
	TypeParameterProblem       = 4   // RFC 4443 §3.4
	TypeEchoRequest            = 128 // RFC 4443 §4.1
	TypeEchoReply              = 129 // RFC 4443 §4.2
	TypeMLDQuery               = 130 // RFC 3810 §5.1
	TypeMLDReport              = 131 // RFC 2710 §3
	TypeMLDDone                = 132 // RFC 2710 §3
	TypeRouterSolicitation     = 133 // RFC 4861 §4.1
	TypeRouterAdvertisement    = 134 // RFC 4861 §4.2
	TypeNeighborSolicitation   = 135 // RFC 4861 §4.3
	TypeNeighborAdvertisement  = 136 // RFC 4861 §4.4
	TypeRedirect               = 137 // RFC 4861 §4.5
	TypeMLDv2Report            = 143 // RFC 3810 §5.2
)

// Codes of Destination Unreachable, RFC 4443 §3.1.
const (
	CodeNoRoute            = 0
	CodeProhibited         = 1
	CodeBeyondScope        = 2
	CodeAddressUnreachable = 3
	CodePortUnreachable    = 4
	CodeSourcePolicy       = 5
	CodeRejectRoute        = 6
)

// Codes of Time Exceeded, RFC 4443 §3.3.
const (
	CodeHopLimit   = 0
	CodeReassembly = 1
)

// Codes of Parameter Problem, RFC 4443 §3.4 and RFC 7112 §6.
const (
	CodeErroneousField         = 0
	CodeUnrecognizedNextHeader = 1
	CodeUnrecognizedOption     = 2
	CodeIncompleteChain        = 3
)

// ICMPv6 is a message of at least ICMPv6Size bytes, RFC 4443 §2.1.
type ICMPv6 []byte

// Type is one of Type….
func (m ICMPv6) Type() uint8 { return m[0] }

// Code refines Type: one of Code….
func (m ICMPv6) Code() uint8 { return m[1] }

// Checksum is the field, not a verdict on it.
func (m ICMPv6) Checksum() uint16 { return binary.BigEndian.Uint16(m[2:]) }

// SetChecksum sets the field.
func (m ICMPv6) SetChecksum(c uint16) { binary.BigEndian.PutUint16(m[2:], c) }

// Param is the 32 bits after the checksum: the MTU of Packet Too Big, the pointer
// of Parameter Problem, identifier and sequence number of an echo.
func (m ICMPv6) Param() uint32 { return binary.BigEndian.Uint32(m[4:]) }

// Body is what follows Param: the packet an error is about, the data of an echo.
func (m ICMPv6) Body() []byte { return m[ICMPv6Size:] }

// IsError reports whether messages of this type report errors, RFC 4443 §2.1.
func IsError(typ uint8) bool { return typ < 128 }
