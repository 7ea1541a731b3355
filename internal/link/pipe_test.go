package link

import (
	"errors"
	"testing"
)

// sent is a batch of one packet on its way.
func sent(t *testing.T, pkt string) *Batch {
	t.Helper()
	b := NewBatch(NewPool(1))
	b.Inject([]byte(pkt))
	t.Cleanup(b.End)
	return b
}

func TestPipeCarriesPacketsAndTheirOffload(t *testing.T) {
	x, y := NewPipe("x", "y")
	out, p := batchOf(t, vnet{flags: 1, gso: gsoTCPv6, size: 1000, start: 40, offs: 16}, tcp(2072))
	want := p.Offload
	if err := x.Send(&out.Vector); err != nil || out.Len() != 0 {
		t.Fatalf("send = %v, %d left, want none", err, out.Len())
	}
	in := NewBatch(NewPool(1))
	if err := y.Recv(in); err != nil {
		t.Fatal(err)
	}
	if in.Len() != 1 || len(in.At(0).Bytes()) != 2072 || in.At(0).Offload != want {
		t.Errorf("received %d packets, want the one sent", in.Len())
	}
	in.End()
}

func TestPipeRecvTakesWhatIsThere(t *testing.T) {
	x, _ := NewPipe("x", "y")
	for range VectorSize + 3 {
		x.Offer([]byte("packet"))
	}
	b := NewBatch(NewPool(1))
	for _, want := range []int{VectorSize, 3} {
		if err := x.Recv(b); err != nil || b.Len() != want {
			t.Errorf("received %d, %v, want %d", b.Len(), err, want)
		}
		b.End()
	}
}

func TestPipeRefusals(t *testing.T) {
	x, y := NewPipe("x", "y")
	x.SetDown(true)
	b := sent(t, "packet")
	if err := x.Send(&b.Vector); !errors.Is(err, ErrDown) || b.Len() != 1 {
		t.Errorf("down: %v, %d left, want %v, 1", err, b.Len(), ErrDown)
	}
	x.SetDown(false)
	for y.Offer(nil) {
	}
	if err := x.Send(&b.Vector); !errors.Is(err, ErrFull) || b.Len() != 1 {
		t.Errorf("full: %v, %d left, want %v, 1", err, b.Len(), ErrFull)
	}
}

func TestInterruptEndsEveryRecv(t *testing.T) {
	x, _ := NewPipe("x", "y")
	pool := NewPool(1)
	ended := make(chan error)
	go func() { ended <- x.Recv(NewBatch(pool)) }()
	x.Interrupt()
	x.Interrupt()
	if err := <-ended; !errors.Is(err, ErrInterrupted) {
		t.Errorf("under way = %v, want %v", err, ErrInterrupted)
	}
	x.Offer([]byte("late"))
	if err := x.Recv(NewBatch(pool)); !errors.Is(err, ErrInterrupted) {
		t.Errorf("later = %v, want %v", err, ErrInterrupted)
	}
	if pool.lent() != 0 {
		t.Error("an interrupted Recv keeps an arena")
	}
	x.Take()
	if got := x.Next(); got != nil {
		t.Errorf("next = %q, want nothing", got)
	}
}

func TestSeveredPipeTakesNothing(t *testing.T) {
	x, y := NewPipe("x", "y")
	if err := x.Sever(); err != nil {
		t.Fatal(err)
	}
	b := sent(t, "packet")
	if err := x.Send(&b.Vector); !errors.Is(err, ErrSevered) || b.Len() != 1 {
		t.Errorf("send = %v, %d left, want %v, 1", err, b.Len(), ErrSevered)
	}
	if y.Take() != nil {
		t.Error("it came out at the other end")
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

func TestPipePanicsAfterClose(t *testing.T) {
	b := sent(t, "packet")
	for name, use := range map[string]func(*Pipe){
		"send":  func(p *Pipe) { _ = p.Send(&b.Vector) },
		"recv":  func(p *Pipe) { _ = p.Recv(NewBatch(NewPool(1))) },
		"close": func(p *Pipe) { _ = p.Close() },
	} {
		x, _ := NewPipe("x", "y")
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s after close: no panic", name)
				}
			}()
			use(x)
		}()
	}
}
