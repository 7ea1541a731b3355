// Package service is the small services of the router's own TCP and UDP: echo, discard
// and chargen, RFC 862 to 864. They are for tests, and each knows only a net.Listener,
// or a net.PacketConn. Chargen is not for UDP: it would answer a small datagram, from
// whoever that says it is, with a large one.
package service
