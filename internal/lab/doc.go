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
// Files in reading order: router.go, port.go, ethernet.go, stacked.go, packet.go, frame.go,
// checksum.go; fiboracle.go, table.go.
package lab
