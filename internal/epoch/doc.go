// Package epoch tells the one writer when every reader that might still hold
// what it unpublished has moved on: read-copy-update for a program whose
// garbage collector looks after memory, but not after file descriptors.
//
//	writer   publish(new)   Stamp         Passed?  Passed!   close(old)
//	         ─────┬───────────┬──────────────┬────────┬─────────┬──────▶
//	reader   [ old ]      [ old    ]─ ─ ─ ─ ─ ─ ─ ─ ─ ┘     [ new ]
//	         Enter Leave  Enter    Leave                   Enter
//
// A reader is inside from Enter to Leave, one batch of packets. It costs two
// atomic stores a batch and nothing a packet. The writer never waits: it asks
// Passed, and is called back through Changed when asking again makes sense.
//
// Atomics in Go are sequentially consistent. A reader that may hold what was
// published before a stamp stored its entry before it loaded the pointer; the
// writer stored the pointer, then moved the epoch on, then looks at entries.
// So a reader holding the old value is seen inside with an older epoch, always.
//
// Files in reading order: epoch.go, pointer.go.
package epoch
