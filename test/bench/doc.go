// Package bench has only tests that measure, with a peer beside each figure. They
// are there with the tag bench: make bench-detach.
package bench
