package ppp

import (
	"encoding/binary"
	"fmt"
)

// Protocol is the number in front of a PPP packet, RFC 1661 §2.
type Protocol uint16

// The protocols that are spoken.
const (
	ProtoIPv4   Protocol = 0x0021
	ProtoIPv6   Protocol = 0x0057
	ProtoIPCP   Protocol = 0x8021
	ProtoIPV6CP Protocol = 0x8057
	ProtoLCP    Protocol = 0xc021
	ProtoPAP    Protocol = 0xc023
	ProtoCHAP   Protocol = 0xc223
)

// String is the protocol's name.
func (p Protocol) String() string {
	switch p {
	case ProtoIPv4:
		return "IPv4"
	case ProtoIPv6:
		return "IPv6"
	case ProtoIPCP:
		return "IPCP"
	case ProtoIPV6CP:
		return "IPV6CP"
	case ProtoLCP:
		return "LCP"
	case ProtoPAP:
		return "PAP"
	case ProtoCHAP:
		return "CHAP"
	}
	return fmt.Sprintf("protocol %#04x", uint16(p))
}

// ProtocolSize is the size in bytes of the protocol's number: without compression.
const ProtocolSize = 2

// Code says what a control packet is, RFC 1661 §5.
type Code uint8

// The codes of LCP. Network protocols have the first seven of them.
const (
	ConfigureRequest Code = iota + 1
	ConfigureAck
	ConfigureNak
	ConfigureReject
	TerminateRequest
	TerminateAck
	CodeReject
	ProtocolReject
	EchoRequest
	EchoReply
	DiscardRequest
)

// controlHeader is the size of code, identifier and length:
//
//	 0      1      2        4
//	┌──────┬──────┬────────┬─
//	│ code │  id  │ length │ data
//	└──────┴──────┴────────┴─
const controlHeader = 4

// A Control is a control packet.
type Control struct {
	Code Code
	ID   uint8
	Data []byte
}

// ParseControl reads a control packet. What follows behind its length is padding
// (RFC 1661 §5). The data is a part of b.
func ParseControl(b []byte) (c Control, ok bool) {
	if len(b) < controlHeader {
		return c, false
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	if size < controlHeader || size > len(b) {
		return c, false
	}
	return Control{Code(b[0]), b[1], b[controlHeader:size]}, true
}

// AppendControl appends a control packet with its protocol's number in front.
func AppendControl(b []byte, p Protocol, c Control) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(p))
	b = append(b, byte(c.Code), c.ID)
	b = binary.BigEndian.AppendUint16(b, uint16(controlHeader+len(c.Data)))
	return append(b, c.Data...)
}

// An Option is what is negotiated, RFC 1661 §6.
type Option struct {
	Type uint8
	Data []byte
}

// NextOption reads the first option of b. Only an empty b has none, or one whose
// length is wrong: rest is shorter than b then as well as otherwise, or ok is false.
func NextOption(b []byte) (o Option, rest []byte, ok bool) {
	if len(b) < 2 || int(b[1]) < 2 || int(b[1]) > len(b) {
		return o, nil, false
	}
	return Option{b[0], b[2:b[1]]}, b[b[1]:], true
}

// parseOptions reads all options of b; ok is false if it is not all options.
func parseOptions(b []byte) (all []Option, ok bool) {
	for len(b) > 0 {
		o, rest, ok := NextOption(b)
		if !ok {
			return nil, false
		}
		all = append(all, o)
		b = rest
	}
	return all, true
}

// AppendOption appends an option, whose data is at most 253 bytes.
func AppendOption(b []byte, o Option) []byte {
	return append(append(b, o.Type, byte(2+len(o.Data))), o.Data...)
}

func appendOptions(b []byte, all []Option) []byte {
	for _, o := range all {
		b = AppendOption(b, o)
	}
	return b
}
