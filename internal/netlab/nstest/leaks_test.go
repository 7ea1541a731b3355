package nstest_test

import (
	"os"
	"testing"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

// A witness is a test that is watched for what it says.
type witness struct {
	testing.TB
	cleanups []func()
	failed   bool
}

func (w *witness) Helper()               {}
func (w *witness) Cleanup(fn func())     { w.cleanups = append(w.cleanups, fn) }
func (w *witness) Errorf(string, ...any) { w.failed = true }
func (w *witness) Error(...any)          { w.failed = true }

func (w *witness) end() {
	for _, fn := range w.cleanups {
		fn()
	}
}

func TestNoLeaksSeesADescriptor(t *testing.T) {
	w := &witness{TB: t}
	nstest.NoLeaks(w)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // nothing was written
	if w.end(); !w.failed {
		t.Error("an open file was no leak")
	}
}

func TestNoLeaksSeesAGoroutine(t *testing.T) {
	w := &witness{TB: t}
	nstest.NoLeaks(w)
	done := make(chan struct{})
	defer close(done)
	go func() { <-done }()
	if w.end(); !w.failed {
		t.Error("a goroutine was no leak")
	}
}

func TestNoLeaksIsContentWithNothing(t *testing.T) {
	w := &witness{TB: t}
	nstest.NoLeaks(w)
	if w.end(); w.failed {
		t.Error("nothing was a leak")
	}
}
