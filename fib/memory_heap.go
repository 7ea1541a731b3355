//go:build !linux || race

package fib

// reserve takes a region from the heap: the race detector sees nothing else.
func reserve() *region { return onHeap(firstSize) }
