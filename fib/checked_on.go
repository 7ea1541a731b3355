//go:build race || invariants

package fib

// checked is whether a lookup in a retired snapshot panics.
const checked = true
