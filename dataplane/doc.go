// Package dataplane takes packets from one port to the next, on the goroutine
// that read them: Recv → accept → forward → send → flush, one chain of calls,
// one guard and one FIB snapshot for the whole batch.
//
// In transit it takes no lock and allocates nothing per packet. It keeps no packet
// past its batch, but for copies of fragments to the router itself, and writes no
// log: every packet that ends here has one Drop, which is counted, and
//
//	received + originated + released = sent + consumed + held + dropped
//
// holds exactly for every batch published, in wire segments. What is held waits
// for neighbor discovery to find where it goes, and is released in any case.
//
// Files in reading order: worker.go, input.go, forward.go, output.go, frame.go;
// then the exceptions icmp.go, local.go, transport.go, fragment.go, discover.go,
// held.go, limit.go; drop.go and counters.go are tables; plane.go, injector.go and
// segment.go are the way in; tap.go, sighting.go and ring.go are for those who
// look on.
package dataplane
