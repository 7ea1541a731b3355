package link

import (
	"bytes"
	"runtime"
	"sync"
	"testing"
)

func TestFullBatchFitsWhateverItsSizes(t *testing.T) {
	for _, size := range []int{0, 1, 40, 1280, 1500, 4096, 9000, 65535, MaxPacket} {
		b := NewBatch(NewPool(1))
		b.begin()
		pkt := bytes.Repeat([]byte{0xaa}, size)
		for b.room() {
			b.push(pkt)
		}
		received := b.Len()
		if received == 0 || received < VectorSize && b.arena.used < batchBytes {
			t.Errorf("%d packets of %d bytes, want more", received, size)
		}
		for i := range received { // one answer for each
			e := b.Originate(1280)
			if len(e.Bytes()) != 1280 {
				t.Fatalf("originated = %d bytes, want 1280", len(e.Bytes()))
			}
			for j := range e.Bytes() {
				e.Bytes()[j] = byte(i)
			}
			clear(e.Prepend(Headroom - vnetHeaderSize))
		}
		for i := range received {
			if !bytes.Equal(b.At(i).Bytes(), pkt) {
				t.Fatalf("packet %d of %d bytes is not what was read", i, size)
			}
		}
		b.End()
	}
}

// The last packet of a batch may be the largest, when all before it just left
// room for it.
func TestSixtyFourthPacketOfFullSizeFits(t *testing.T) {
	b := NewBatch(NewPool(1))
	b.begin()
	each := (batchBytes-1)/(VectorSize-1)&^(cacheLine-1) - Headroom
	for range VectorSize - 1 {
		b.push(make([]byte, each))
	}
	if !b.room() {
		t.Fatalf("no room after %d bytes", b.arena.used)
	}
	b.push(make([]byte, MaxPacket))
	if b.room() {
		t.Error("room for a 65th")
	}
	for range VectorSize {
		b.Originate(1280)
	}
	b.End()
}

func TestPacketDoesNotReachIntoItsNeighbor(t *testing.T) {
	b := NewBatch(NewPool(1))
	b.begin()
	b.push(make([]byte, 61))
	b.push(make([]byte, 61))
	first := b.At(0)
	_ = append(first.Bytes(), 0xff)
	if cap(first.Bytes()) != 61 {
		t.Errorf("capacity = %d, want 61", cap(first.Bytes()))
	}
	if got := b.At(1).buf; bytes.IndexByte(got, 0xff) >= 0 {
		t.Error("an append wrote into the next packet")
	}
	b.End()
}

func TestPacketKeptPastItsBatchIsPoisoned(t *testing.T) {
	if !checked {
		t.Skip("only in builds with -race or -tags invariants")
	}
	b := NewBatch(NewPool(1))
	b.Inject([]byte("kept"))
	kept := b.At(0).Bytes()
	b.End()
	if want := bytes.Repeat([]byte{0xdb}, 4); !bytes.Equal(kept, want) {
		t.Errorf("kept = %x, want %x", kept, want)
	}
}

func TestArenaComesBackFresh(t *testing.T) {
	pool := NewPool(1)
	for range 3 {
		b := NewBatch(pool)
		b.Inject([]byte("packet"))
		b.Originate(8)
		b.End()
		b.End() // may be called again
		if b.Len() != 0 {
			t.Errorf("length after end = %d, want 0", b.Len())
		}
	}
	if n := pool.lent(); n != 0 {
		t.Errorf("lent arenas = %d, want 0", n)
	}
}

func (p *Pool) lent() (n int) {
	for i := range p.arenas {
		if p.arenas[i].lent.Load() {
			n++
		}
	}
	return n
}

func TestBatchGetsItsArenaAgain(t *testing.T) {
	pool := NewPool(3)
	a, b := NewBatch(pool), NewBatch(pool)
	for range 3 {
		b.begin()
		a.begin()
		a.End()
		a.begin()
		if a.arena != &pool.arenas[1] {
			t.Error("another arena than before, which was free")
		}
		b.End()
		a.End()
	}
}

// Nobody waits for ever, whoever comes when.
func TestManyBatchesShareFewArenas(t *testing.T) {
	pool := NewPool(2)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			b := NewBatch(pool)
			for range 2000 {
				b.Inject([]byte{byte(i)})
				runtime.Gosched()
				if b.At(0).Bytes()[0] != byte(i) {
					t.Error("two batches have one arena")
				}
				b.End()
			}
		})
	}
	wait.Wait()
	if n := pool.lent(); n != 0 {
		t.Errorf("lent arenas = %d, want 0", n)
	}
}

func TestBatchWaitsForAnArena(t *testing.T) {
	pool := NewPool(1)
	first, second := NewBatch(pool), NewBatch(pool)
	first.Inject([]byte("first"))
	began := make(chan struct{})
	go func() {
		second.Inject([]byte("second"))
		close(began)
	}()
	select {
	case <-began:
		t.Error("two batches have one arena")
	default:
	}
	first.End()
	<-began
	if got := string(second.At(0).Bytes()); got != "second" {
		t.Errorf("packet = %q, want second", got)
	}
	second.End()
}

func TestVectorKeepsInOrder(t *testing.T) {
	b := NewBatch(NewPool(1))
	defer b.End()
	b.begin()
	for i := range 10 {
		b.push(make([]byte, i))
	}
	b.Keep(func(p *Packet) bool { return len(p.Bytes())%3 == 0 })
	if b.Len() != 4 || b.Size() != 0+3+6+9 || b.Segments() != 4 {
		t.Errorf("kept %d packets of %d bytes, want 4 of 18", b.Len(), b.Size())
	}
	for i := range b.Len() {
		if got := len(b.At(i).Bytes()); got != 3*i {
			t.Errorf("packet %d has %d bytes, want %d", i, got, 3*i)
		}
	}
}

func TestBatchesDoNotAllocate(t *testing.T) {
	b := NewBatch(NewPool(1))
	pkt := make([]byte, 1500)
	n := testing.AllocsPerRun(100, func() {
		b.begin()
		for range VectorSize {
			b.push(pkt)
		}
		b.End()
	})
	if n != 0 {
		t.Errorf("allocations = %v, want 0", n)
	}
}
