package link

const (
	// VectorSize is the most packets of one batch.
	VectorSize = 64
	// Headroom is the free space in front of a received packet: a virtio-net
	// header (10) and what stacked ports prepend (PPPoE: 8, Ethernet and VLAN:
	// 18), rounded to a cache line.
	Headroom = 64
	// MaxPacket is the largest packet: an IPv6 header and 65,535 bytes.
	MaxPacket = 40 + 65535
)

// A Packet is a part of its batch's arena and lives as long as the batch. It
// may be a superframe: many wire segments in one, see Offload.
type Packet struct {
	buf      []byte // its region of the arena, headroom first
	off, end int
	Offload  Offload
	alone    *Vector // the arena's, of which a batch uses one at a time
}

// Bytes is the packet from its outermost header on.
func (p *Packet) Bytes() []byte { return p.buf[p.off:p.end] }

// Segments is how many packets on the wire this one stands for.
func (p *Packet) Segments() int { return p.Offload.segments(p.end - p.off) }

// WireSize is the size in bytes of the largest of its segments: what has to
// fit through an MTU.
func (p *Packet) WireSize() int { return p.Offload.wireSize(p.end - p.off) }

// Prepend adds n bytes of headroom to the front and returns them.
func (p *Packet) Prepend(n int) []byte {
	p.off -= n
	p.Offload.shift(n)
	return p.buf[p.off : p.off+n]
}

// TrimFront removes n bytes from the front.
func (p *Packet) TrimFront(n int) {
	p.off += n
	p.Offload.shift(-n)
}

// Alone is a vector that holds p and nothing else. It is good until it is asked for
// of another packet of the batch.
func (p *Packet) Alone() *Vector {
	p.alone.Reset()
	p.alone.Push(p)
	return p.alone
}

// Trim cuts the packet to its first size bytes. Its offload is bad if it was
// about what is cut off.
func (p *Packet) Trim(size int) {
	p.end = p.off + size
	p.Offload.limit(size)
}

// A Vector is packets of one batch on their way to one port.
type Vector struct {
	Queue int // of a port with several, the one that it leaves by
	pkts  [VectorSize]*Packet
	n     int
}

// Len is the number of packets.
func (v *Vector) Len() int { return v.n }

// At is the i-th packet.
func (v *Vector) At(i int) *Packet { return v.pkts[i] }

// Push appends p.
func (v *Vector) Push(p *Packet) {
	v.pkts[v.n] = p
	v.n++
}

// Reset empties the vector.
func (v *Vector) Reset() { v.n = 0 }

// Segments is how many packets on the wire the vector stands for.
func (v *Vector) Segments() int {
	n := 0
	for _, p := range v.pkts[:v.n] {
		n += p.Segments()
	}
	return n
}

// Size is the number of bytes in the vector.
func (v *Vector) Size() int {
	n := 0
	for _, p := range v.pkts[:v.n] {
		n += len(p.Bytes())
	}
	return n
}

// Keep shortens the vector to those of its packets that keep approves, in
// order.
func (v *Vector) Keep(keep func(*Packet) bool) {
	n := 0
	for _, p := range v.pkts[:v.n] {
		if keep(p) {
			v.pkts[n] = p
			n++
		}
	}
	v.n = n
}

// each calls send with each packet, and takes those sent out of v. It returns why
// the last one that is left was not.
func (v *Vector) each(send func(*Packet) error) (last error) {
	v.Keep(func(p *Packet) bool {
		err := send(p)
		if err != nil {
			last = err
		}
		return err != nil
	})
	return last
}
