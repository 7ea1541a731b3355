// Package pppoe is the host of a PPPoE session, RFC 2516 and 4638: it finds an
// access concentrator, opens a session with it, and opens another when that ends,
// for ever. It is a machine that is given frames and the time, and gives back frames
// and when it wants to be called. It starts nothing, and carries no IPv6 itself.
//
//	          ┌────────────── back-off, by what went wrong ◀──────────┐
//	          ▼                                                       │
//	Idle ◀▶ Waiting ──▶ Discovering ──PADO──▶ Requesting ──PADS──▶ Linking ◀──▶ Open
//	 no carrier below    PADI sent             PADR sent             PPP       IPv6 flows
//
// Read client, dial, backoff; frame and discovery are bytes. Package ppp is what
// is spoken in a session, package ac the other end.
package pppoe
