package lab

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/link"
)

// The header that a Stacked port puts in front of each packet. Like that of
// PPPoE it begins with version 1, so no one takes it for IPv6:
//
//	 0     1      2         4        6          8
//	┌─────┬──────┬─────────┬────────┬──────────┐
//	│ 0x11│ 0    │ session │ length │ protocol │
//	└─────┴──────┴─────────┴────────┴──────────┘
const (
	stackedHeader   = 8
	stackedVersion  = 0x11
	stackedProtocol = 0x0057 // IPv6 over PPP, RFC 5072 §2
)

// A Stacked is the PPPoE of tests: a port on top of another interface. It panics
// when it is used after Close, as a Pipe does.
type Stacked struct {
	name    string
	session uint16
	lower   *ifmgr.Handle
	closed  atomic.Bool
	severed atomic.Bool
}

// NewStacked returns a port that sends through lower. It takes lower.
func NewStacked(name string, lower *ifmgr.Handle, session uint16) *Stacked {
	return &Stacked{name: name, session: session, lower: lower}
}

// Send implements link.Sender. The lower interface counts what it carries.
func (s *Stacked) Send(v *link.Vector) error {
	if s.closed.Load() {
		panic("lab: send on closed stacked port " + s.name)
	}
	if s.severed.Load() {
		return link.ErrSevered
	}
	for i := range v.Len() {
		p := v.At(i)
		size := len(p.Bytes())
		s.put(p.Prepend(stackedHeader), size)
	}
	packets, bytes := v.Segments(), v.Size()
	err := s.lower.Port().Send(v)
	left := v.Segments()
	s.lower.Traffic().TxPackets.Add(uint64(packets - left))
	s.lower.Traffic().TxBytes.Add(uint64(bytes - v.Size()))
	s.lower.Traffic().TxErrors.Add(uint64(left))
	for i := range v.Len() {
		v.At(i).TrimFront(stackedHeader) // what was not sent is as it was
	}
	return err
}

func (s *Stacked) put(h []byte, size int) {
	h[0], h[1] = stackedVersion, 0
	binary.BigEndian.PutUint16(h[2:], s.session)
	binary.BigEndian.PutUint16(h[4:], uint16(size))
	binary.BigEndian.PutUint16(h[6:], stackedProtocol)
}

// Claim implements link.Upper.
func (s *Stacked) Claim(p *link.Packet) link.Claim {
	if s.closed.Load() {
		panic("lab: claim by closed stacked port " + s.name)
	}
	if s.Decapsulate(p.Bytes()) == nil {
		return link.NotOurs
	}
	p.TrimFront(stackedHeader)
	return link.Ours
}

// Encapsulate is pkt as it is on the wire of the lower port.
func (s *Stacked) Encapsulate(pkt []byte) []byte {
	b := make([]byte, stackedHeader+len(pkt))
	s.put(b, len(pkt))
	copy(b[stackedHeader:], pkt)
	return b
}

// Decapsulate is the packet in b, or nil if b is none of this session's.
func (s *Stacked) Decapsulate(b []byte) []byte {
	if len(b) < stackedHeader || b[0] != stackedVersion || binary.BigEndian.Uint16(b[2:]) != s.session {
		return nil
	}
	return b[stackedHeader:]
}

// Interrupt implements link.Port. Nobody sleeps here.
func (s *Stacked) Interrupt() {}

// Close implements link.Port.
func (s *Stacked) Close() error {
	if s.closed.Swap(true) {
		panic("lab: stacked port " + s.name + " closed twice")
	}
	s.lower.Release()
	return nil
}

// Sever implements link.Port.
func (s *Stacked) Sever() error {
	s.severed.Store(true)
	return nil
}
