package link

import "encoding/binary"

// An Ethernet frame (IEEE 802.3 §3), and the tags that may be in it behind the
// addresses (IEEE 802.1Q §9.5), each with the type of what follows behind it:
//
//	 0             6        12       14
//	┌─────────────┬────────┬────────┬─
//	│ destination │ source │  type  │
//	└─────────────┴────────┴────────┴─
//	 0             6        12       14                          18
//	┌─────────────┬────────┬────────┬──────────┬─────┬──────────┬────────┬─
//	│ destination │ source │ 0x8100 │ priority │ DEI │ VLAN ID  │  type  │
//	└─────────────┴────────┴────────┴──────────┴─────┴──────────┴────────┴─
//	                                  3 bits     1     12
const (
	etherAddrs  = 12 // bytes of the two addresses
	etherHeader = 14
	maxTags     = 2 // that are looked behind: of a provider, and of a customer
	tagID       = 0x0fff
)

// TagSize is what a VLAN tag takes of a frame, in bytes.
const TagSize = 4

// MaxFrame is the largest frame: the largest packet in one with two tags.
const MaxFrame = MaxPacket + etherHeader + maxTags*TagSize

// A TPID is the type that announces a VLAN tag, IEEE 802.1Q §9.6.
type TPID uint16

const (
	// CTag is that of a customer's tag, 802.1Q.
	CTag TPID = 0x8100
	// STag is that of a provider's tag, 802.1ad.
	STag TPID = 0x88a8
)

// announcesTag reports whether a tag follows behind the type.
func announcesTag(etherType uint16) bool { return TPID(etherType) == CTag || TPID(etherType) == STag }

// networkOffset is where the frame's payload begins, behind its tags.
func networkOffset(frame []byte) int {
	at := etherHeader
	for range maxTags {
		if len(frame) < at || !announcesTag(binary.BigEndian.Uint16(frame[at-2:])) {
			break
		}
		at += TagSize
	}
	return at
}

// tagOf is the outermost tag of a frame; ok is false if it has none.
func tagOf(frame []byte) (tpid TPID, tci uint16, ok bool) {
	if len(frame) < etherHeader+TagSize {
		return 0, 0, false
	}
	tpid = TPID(binary.BigEndian.Uint16(frame[etherAddrs:]))
	return tpid, binary.BigEndian.Uint16(frame[etherHeader:]), announcesTag(uint16(tpid))
}

// pushTag puts a tag behind the frame's addresses. There is headroom for it.
func (p *Packet) pushTag(tpid TPID, tci uint16) {
	p.Prepend(TagSize)
	b := p.Bytes()
	copy(b, b[TagSize:][:etherAddrs])
	binary.BigEndian.PutUint16(b[etherAddrs:], uint16(tpid))
	binary.BigEndian.PutUint16(b[etherHeader:], tci)
}

// popTag takes the outermost tag out of the frame, which has one.
func (p *Packet) popTag() {
	b := p.Bytes()
	copy(b[TagSize:], b[:etherAddrs])
	p.TrimFront(TagSize)
}

// popPriorityTag takes out a tag that says no VLAN: such a frame is of none
// (IEEE 802.1Q §6.9.1).
func (p *Packet) popPriorityTag() {
	if _, tci, ok := tagOf(p.Bytes()); ok && tci&tagID == 0 {
		p.popTag()
	}
}
