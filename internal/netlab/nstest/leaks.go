package nstest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/router6d/router6d/internal/netlab/fds"
)

// NoLeaks fails the test if at its end there are goroutines or descriptors
// that were not there when NoLeaks was called. It looks after the cleanups
// that are registered later: call it first. Not for parallel tests, which see
// each other's.
func NoLeaks(t testing.TB) {
	t.Helper()
	before := openFDs(t)
	goroutines := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, goroutines)
		if leaked := openFDs(t).Since(before); len(leaked) > 0 {
			t.Errorf("descriptors left open:\n%v", leaked)
		}
	})
}

func openFDs(t testing.TB) fds.Set {
	t.Helper()
	open, err := fds.Open()
	if err != nil {
		t.Fatal(err)
	}
	return open
}
