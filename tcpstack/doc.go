// Package tcpstack is TCP and UDP for the router's own services, with gVisor's netstack
// as the transport of TCP and nothing else of it.
//
// It knows no interface, no route and none of the router's addresses: the one NIC
// that gVisor sees is permanent and takes any address, and whether the router has
// it is asked of the snapshot, by the same lookup that sends. So there is no second
// copy of anything that could lag, and nothing of a connection can outlive an
// interface, since nothing of an interface is in it.
//
//	worker ──deliver──▶ inbox ──Run──▶ gVisor ──send──▶ dataplane.Injector.Send
//	          checks,                    │                a guard, a snapshot:
//	          limits              timers, writers         nexthop, hop limit,
//	            │                                         MTU, source
//	            └─────▶ socket ─▶ reader, writer ─────────▶ likewise
//
// A segment that finds no way is kept, one for each connection, and sent again when
// the FIB has changed, until the peer has it: a connection waits for a redial, and goes
// on when that is through, whatever TCP's timer has backed off to. A datagram that finds
// none is an error of who writes it.
//
// Files in reading order: stack.go, options.go, endpoint.go (gVisor's link), inbox.go,
// door.go, deliver.go (the way in), send.go (the way out), flow.go, wait.go,
// pathmtu.go, limit.go, tuple.go; listen.go and dial.go are for services, udp.go and
// trace.go likewise, show.go for people.
package tcpstack
