// Package nd is neighbor discovery on one Ethernet link, as values: who the
// neighbors are (RFC 4861, RFC 7048), whether the router's own addresses are its
// own (RFC 4862, RFC 7527), and which groups it listens to (RFC 3810).
//
// It has no goroutine, no clock and no socket. A [Machine] takes one input after
// another with the time at which it came, and tells what is to be sent and when
// it wants to be called again. Only its [Table] is read by others, without locks.
//
//	       packet to send          NA                 ReachableTime
//	(none) ─────────────▶ Incomplete ─────▶ Reachable ─────────────▶ Stale
//	   ▲                      │                 ▲  ▲                   │ packet
//	   │ 3 solicitations      │                 │  │ hint, NA          ▼
//	   ├──────────────────────┘                 │  └───────────────── Delay
//	   │ nobody sends any more                  │ NA                  │ 5 s
//	   └─────────────────────── Unreachable ◀───┴────── Probe ◀───────┘
//	                                   3 probes
//
// It never trusts a message: [Parse] checks all that RFC 4861 §6.1, §7.1 and §8.1
// ask for, and is cheap enough for those who read packets. It never lets
// strangers push out those who are known: what is only asked for, what only said
// that it is there, and what has answered, are counted apart (RFC 6583).
//
// It does not make addresses, and a router takes none from advertisements; it has
// no use for optimistic addresses, which RFC 4429 §3.1 does not want where they
// are configured by hand.
//
// Files in reading order: message.go, write.go, table.go, machine.go, timer.go;
// then the neighbors: neighbor.go, resolve.go, reach.go; then the router's own
// side: address.go, advertise.go, listener.go; limit.go.
package nd
