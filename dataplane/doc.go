// Package dataplane takes packets from one port to the next, on the goroutine
// that read them: Recv → accept → forward → send → flush, one chain of calls,
// one guard and one FIB snapshot for the whole batch.
//
// In transit it takes no lock and allocates nothing per packet. It keeps no packet
// past its batch, but for copies of fragments to the router itself, and writes no
// log: every packet that ends here has one Drop, which is counted, and
//
//	received + originated = sent + consumed + dropped
//
// holds exactly for every batch published, in wire segments.
//
// Files in reading order: worker.go, input.go, forward.go, output.go; then the
// exceptions icmp.go, local.go, fragment.go, limit.go; drop.go and counters.go are
// tables; plane.go and injector.go are the way in; tap.go, sighting.go and ring.go
// are for those who look on.
package dataplane
