// Package link moves batches of packets between file descriptors and memory.
// It knows no routes and keeps no packet: a Batch is read into an arena, its
// packets are sorted into Vectors by where they go, and when the Vectors are
// sent the Batch ends and the arena is read into again.
//
//	Recv → Batch{ packet, packet, … } → Vector per port → Send → End
//
// A packet may be a superframe: up to 64 kB that the kernel has not cut into
// segments, with a partial checksum. It passes whole, its virtio-net header
// kept beside it.
//
//	arena  │◀ headroom ▶│◀ packet ▶│◀ headroom ▶│◀ packet ▶│ …
//	              ▲                 vnet header directly before the packet,
//	              └ vnet header     so that it is read and written in one call
//
// Files in reading order: packet.go, offload.go, segment.go, run.go, arena.go, port.go,
// tun.go, queue.go, sleep.go, rawio.go, frame.go, tap.go, afpacket.go, socket.go,
// ring.go, mmsg.go, vlan.go, pipe.go.
package link
