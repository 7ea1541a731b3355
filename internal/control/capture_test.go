package control

import (
	"testing"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/router"
)

// A capture does not end while a worker may have sent what it has not noted yet: who
// has an answer in his hand finds it in the capture that he ends then.
func TestCaptureEndsAfterItsReaders(t *testing.T) {
	l := lab.New(t)
	c := &tapping{r: &router.Router{Loop: l.Loop, Interfaces: l.Interfaces, Plane: l.Plane}, tap: dataplane.NewTap(0, false)}
	worker := l.Domain.Register("worker")
	defer worker.Close()
	batch := worker.Enter()
	untapped := make(chan struct{})
	go func() {
		defer close(untapped)
		c.untap()
	}()
	for waiting := 0; waiting == 0; {
		select {
		case <-untapped:
			batch.Leave()
			t.Fatal("the capture ended under a worker")
		default:
		}
		l.Turn(func(t *loop.Turn) { waiting = t.Stats().Deferred })
	}
	batch.Leave()
	<-untapped
}
