package link

// FD is the descriptor's number.
func (t *TUN) FD() int { return t.queues[0].fd }

// BatchOf is a batch that holds the packets.
func BatchOf(pkts ...[]byte) *Batch {
	b := NewBatch(NewPool(1))
	b.begin()
	for _, p := range pkts {
		b.push(p)
	}
	return b
}

// FD is the descriptor's number.
func (s *PacketSocket) FD() int { return s.queues[0].fd }

// BatchOfFrame is a batch of the packet that a TUN reads as the virtio-net header h
// and pkt.
func BatchOfFrame(h, pkt []byte) *Batch {
	b := BatchOf(pkt)
	b.At(0).Offload.decode(h, b.At(0).Bytes(), 0)
	return b
}
