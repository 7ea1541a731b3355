package tcpstack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	inboxPackets = 4096
	inboxBytes   = 8 << 20
)

// An inbox is what waits for gVisor: copies, as many as there is room for. Workers
// put, and never wait.
type inbox struct {
	more chan struct{} // capacity 1: there is something

	// Workers have no Turn, and a Guard is for what is published. Held for an append.
	mu     sync.Mutex
	all    []*stack.PacketBuffer
	spare  []*stack.PacketBuffer // the memory of what was taken before
	bytes  int
	closed bool
}

func newInbox() *inbox { return &inbox{more: make(chan struct{}, 1)} }

// put takes pk, and reports whether there was room.
func (b *inbox) put(pk *stack.PacketBuffer) bool {
	ok := b.append(pk)
	if !ok {
		pk.DecRef()
		return false
	}
	select {
	case b.more <- struct{}{}:
	default: // told already
	}
	return true
}

func (b *inbox) append(pk *stack.PacketBuffer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || len(b.all) == inboxPackets || b.bytes >= inboxBytes {
		return false
	}
	b.all = append(b.all, pk)
	b.bytes += pk.Size()
	return true
}

// take returns all there is, which is good until the next call.
func (b *inbox) take() []*stack.PacketBuffer {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.all
	clear(b.spare)
	b.all, b.spare, b.bytes = b.spare[:0], all, 0
	return all
}

// close ends it: nothing is taken any more.
func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	for _, pk := range b.take() {
		pk.DecRef()
	}
}
