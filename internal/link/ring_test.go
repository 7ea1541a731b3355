package link

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slotOf is a slot as the kernel leaves it.
func slotOf(h unix.Tpacket2Hdr, vnet, frame []byte) []byte {
	mem := make([]byte, slotSize)
	*(*unix.Tpacket2Hdr)(unsafe.Pointer(&mem[0])) = h
	if at := int(h.Mac); at >= len(vnet) && at <= len(mem) {
		copy(mem[at-len(vnet):], vnet)
		copy(mem[at:], frame)
	}
	return mem
}

// taken is what comes of a slot.
func taken(mem []byte) *Batch {
	b := NewBatch(NewPool(1))
	b.begin()
	take(b, slot{(*unix.Tpacket2Hdr)(unsafe.Pointer(&mem[0])), mem}, -1)
	return b
}

func TestFramesOfSlots(t *testing.T) {
	const vlan, tpid = unix.TP_STATUS_VLAN_VALID, unix.TP_STATUS_VLAN_TPID_VALID
	in := frame(tcp(100))
	for _, c := range []struct {
		name   string
		status uint32
		tpid   TPID
		tci    uint16
		want   []byte
	}{
		{"no tag", 0, CTag, 100, in},
		{"a tag", vlan | tpid, CTag, 0x6064, frame(tcp(100), 0x8100_6064)},
		{"a provider's tag", vlan | tpid, STag, 100, frame(tcp(100), 0x88a8_0064)},
		{"a tag of an old kernel", vlan, 0, 100, frame(tcp(100), 0x8100_0064)},
		{"priority alone", vlan | tpid, CTag, 0xe000, in},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := taken(slotOf(unix.Tpacket2Hdr{
				Status: unix.TP_STATUS_USER | c.status, Len: uint32(len(in)), Snaplen: uint32(len(in)),
				Mac: 98, Vlan_tci: c.tci, Vlan_tpid: uint16(c.tpid),
			}, vnet{flags: 1, start: 54, offs: 16}.bytes(), in))
			defer b.End()
			if b.Len() != 1 || !bytes.Equal(b.At(0).Bytes(), c.want) {
				t.Fatalf("%d frames, want %x", b.Len(), c.want)
			}
			if start := int(b.At(0).Offload.csumStart); start != 54+len(c.want)-len(in) {
				t.Errorf("checksum starts at %d", start)
			}
		})
	}
}

// Whatever is in a slot, nothing beyond it is read.
func FuzzSlot(f *testing.F) {
	add := func(h unix.Tpacket2Hdr) {
		f.Add(unsafe.Slice((*byte)(unsafe.Pointer(&h)), unsafe.Sizeof(h)), vnet{flags: 1, start: 54, offs: 16}.bytes(), frame(tcp(100)))
	}
	add(unix.Tpacket2Hdr{Status: unix.TP_STATUS_USER, Len: 114, Snaplen: 114, Mac: 98})
	add(unix.Tpacket2Hdr{Status: 0x51, Len: 114, Snaplen: 114, Mac: 98, Vlan_tci: 7, Vlan_tpid: 0x8100})
	add(unix.Tpacket2Hdr{Status: 1, Snaplen: 114, Mac: 9})
	add(unix.Tpacket2Hdr{Status: 1, Snaplen: 1 << 31, Mac: 98})
	add(unix.Tpacket2Hdr{Status: 1, Snaplen: 2000, Mac: 98})
	f.Fuzz(func(t *testing.T, head, v, in []byte) {
		var h unix.Tpacket2Hdr
		if len(head) < int(unsafe.Sizeof(h)) || len(v) < vnetHeaderSize {
			return
		}
		h.Status = binary.NativeEndian.Uint32(head) &^ unix.TP_STATUS_COPY // that would be read from the socket
		h.Len = binary.NativeEndian.Uint32(head[4:])
		h.Snaplen = binary.NativeEndian.Uint32(head[8:])
		h.Mac = binary.NativeEndian.Uint16(head[12:])
		h.Vlan_tci, h.Vlan_tpid = binary.NativeEndian.Uint16(head[24:]), binary.NativeEndian.Uint16(head[26:])
		b := taken(slotOf(h, v[:vnetHeaderSize], in))
		defer b.End()
		for i := range b.Len() {
			if p := b.At(i); len(p.Bytes()) < etherHeader || p.Segments() < 1 || p.WireSize() > len(p.Bytes()) {
				t.Fatalf("%d segments of %d in %d bytes", p.Segments(), p.WireSize(), len(p.Bytes()))
			}
		}
	})
}
