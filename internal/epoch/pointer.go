package epoch

import "sync/atomic"

// A Pointer is published by the writer and loaded under a Guard. It is for
// data that owns something which must be closed; data that is only memory
// goes behind a plain atomic.Pointer.
type Pointer[T any] struct{ p atomic.Pointer[T] }

// Load returns what is published. The Guard must be inside.
func (p *Pointer[T]) Load(g Guard) *T {
	g.check()
	return p.p.Load()
}

// Publish replaces what is published. The caller takes a Stamp afterwards and
// keeps what it displaced alive until the Stamp has passed.
func (p *Pointer[T]) Publish(next *T) { p.p.Store(next) }
