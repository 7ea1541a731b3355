package link

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ring that the kernel puts received frames into (TPACKET_V2), shared with
// us. Each slot has a status, which says whose it is, and a frame behind its
// virtio-net header:
//
//	│◀ tpacket2_hdr ▶│ … │◀ virtio-net ▶│◀ frame ▶│ …
//	 ▲ status          tp_mac is where ──▲
//
// What does not fit is in the socket's queue as well, whole.
const (
	slotSize  = 2048 // a frame of 1500 bytes, and what is in front of it
	slots     = 2048 // a burst of 2 ms at 10⁶ packets/s
	ringBytes = slots * slotSize
	ringBlock = 128 << 10 // what the kernel allocates at once
)

// A ring is of one socket, and belongs to the one who receives.
type ring struct {
	mem  []byte
	next int
}

// openRing gives a packet socket, which is not bound yet, its ring.
func openRing(fd int) (*ring, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2); err != nil {
		return nil, err
	}
	// Any value: it has what is larger than a slot queued.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_COPY_THRESH, 1); err != nil {
		return nil, err
	}
	req := unix.TpacketReq{Block_size: ringBlock, Block_nr: ringBytes / ringBlock, Frame_size: slotSize, Frame_nr: slots}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, err
	}
	at, err := unix.MmapPtr(fd, 0, nil, ringBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &ring{mem: unsafe.Slice((*byte)(at), ringBytes)}, nil
}

// A slot is one frame of the ring, until it is freed.
type slot struct {
	*unix.Tpacket2Hdr
	mem []byte
}

// peek is the oldest frame; ok is false if there is none.
func (r *ring) peek() (s slot, ok bool) {
	mem := r.mem[r.next*slotSize:][:slotSize]
	h := (*unix.Tpacket2Hdr)(unsafe.Pointer(&mem[0]))
	// What the kernel wrote before the status is seen after it.
	return slot{h, mem}, atomic.LoadUint32(&h.Status)&unix.TP_STATUS_USER != 0
}

// free gives the oldest frame's slot back to the kernel.
func (r *ring) free(s slot) {
	atomic.StoreUint32(&s.Status, unix.TP_STATUS_KERNEL)
	r.next = (r.next + 1) % slots
}

// queued reports whether the frame is in the socket's queue as well, whole.
func (s slot) queued() bool { return s.Status&unix.TP_STATUS_COPY != 0 }

// bytes is the frame with its virtio-net header, as far as it is in the slot;
// nil if the slot is not as the kernel would have it.
func (s slot) bytes() []byte {
	at, n := int(s.Mac), int(s.Snaplen) // once: sever may put zeros there any moment
	from, to := at-vnetHeaderSize, at+n
	if from < int(unsafe.Sizeof(*s.Tpacket2Hdr)) || to > len(s.mem) {
		return nil
	}
	return s.mem[from:to]
}

// tag is the VLAN tag that the kernel took out of the frame.
func (s slot) tag() (tpid TPID, tci uint16, ok bool) {
	tpid = CTag
	if s.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tpid = TPID(s.Vlan_tpid)
	}
	return tpid, s.Vlan_tci, s.Status&unix.TP_STATUS_VLAN_VALID != 0
}

// sever puts memory of nobody's in the ring's place: as long as it is mapped, so is
// the socket alive. Who looks into it meanwhile finds it empty.
func (r *ring) sever() error {
	_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(&r.mem[0]), ringBytes,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED)
	return err
}

func (r *ring) close() error { return unix.MunmapPtr(unsafe.Pointer(&r.mem[0]), ringBytes) }
