// Package lab is for tests only: a router in memory, packets to send through
// it, and slow twins of fast things. A test checks that nothing else imports it.
//
//	            ┌──────────── Router ────────────┐
//	Port.Send ──▶ pipe ─▶ worker ─▶ FIB ─▶ pipe ─▶ Port.Expect
//	            └── loop, ifmgr, rib, dataplane ─┘
//
// A Router is wired as internal/router wires it, but has no kernel: its ports
// are pipes, and the test holds their far ends. It checks at the end of the test
// what must be true of every router: all interfaces ended clean, the account
// balances, no lookup returned a withdrawn interface, no goroutine is left.
//
// Tests that are inside a package which Router is made of can't import lab: they
// are written from outside, in package fib_test or dataplane_test.
//
// What the RFCs ask of a router is listed in docs/requirements, and
// docs/conformance.md is made of that list and of what tests prove. A test says
// so at the end of its comment, by section and name:
//
//	// Overlapping fragments are refused.
//	//
//	// Proves:
//	//   - RFC 8200 §4.5 overlap
//
// Files in reading order: router.go, port.go, ethernet.go, stacked.go, packet.go,
// frame.go, checksum.go; fiboracle.go, table.go.
package lab
