package netlab

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

var (
	addrA = netip.MustParseAddr("2001:db8::a")
	addrB = netip.MustParseAddr("2001:db8::b")
)

// newNamespace makes a namespace for one test.
func newNamespace(t testing.TB, name string) *Namespace {
	t.Helper()
	n, err := NewNamespace(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, n.Delete()) })
	return n
}

// pair makes two namespaces with a cable from a's "left" to b's "right".
func pair(t testing.TB) (a, b *Namespace) {
	t.Helper()
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	a, b = newNamespace(t, "r6t-a"), newNamespace(t, "r6t-b")
	check(t, Connect(a, "left", b, "right"))
	check(t, a.AddAddress("left", netip.PrefixFrom(addrA, 64)))
	check(t, b.AddAddress("right", netip.PrefixFrom(addrB, 64)))
	return a, b
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const deadlineSpan = 20 * time.Second

// deadline is for what should take no time, on a machine that is busy.
func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadlineSpan)
	t.Cleanup(cancel)
	return ctx
}

// eventually asks until it is so: the kernel tells nobody of its counters.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadlineSpan)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !so() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		}
	}
}
