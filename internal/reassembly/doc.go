// Package reassembly puts fragmented packets together again, as the destination
// of RFC 8200 §4.5 does. It holds copies of bytes, never a packet of a batch nor
// an interface: of where a fragment came in it keeps a number, to compare.
//
// Memory is bounded, in all and by source, whatever comes: what is oldest goes
// first, since what is whole soon after it began does not grow old. A fragment
// that overlaps another ends its packet, and nothing can begin it anew until its
// time is over (RFC 5722).
//
// Files in reading order: table.go, datagram.go.
package reassembly
