// Package header is the bytes: views of Ethernet, IPv6, ICMPv6, TCP and UDP, the
// Internet checksum, and the ICMPv6 messages a router writes.
//
// It never allocates on the packet path, never keeps a packet, and never trusts
// one: [ParseIPv6] makes a view whose accessors are safe, and every function
// that walks further in checks the length itself.
//
// Files in reading order: ethernet.go, ipv6.go, address.go, extension.go,
// destination.go, fragment.go, transport.go, flow.go, checksum.go, icmpv6.go,
// error.go, echo.go.
//
// The IPv6 header, RFC 8200 §3:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+---------------+---------------------------------------+
//	|Version| Traffic Class |              Flow Label               |  0
//	+-------+---------------+-------+---------------+---------------+
//	|         Payload Length        |  Next Header  |   Hop Limit   |  4
//	+-------------------------------+---------------+---------------+
//	|                                                               |  8
//	+                                                               +
//	|                         Source Address                        | 12
//	+                                                               +
//	|                                                               | 16
//	+                                                               +
//	|                                                               | 20
//	+---------------------------------------------------------------+
//	|                                                               | 24
//	+                                                               +
//	|                      Destination Address                      | 28
//	+                                                               +
//	|                                                               | 32
//	+                                                               +
//	|                                                               | 36
//	+---------------------------------------------------------------+
package header
