// Package capture puts what a dataplane.Tap sees into pcapng, and takes it out
// again for people to read. It starts nothing and waits for nobody.
//
// One section, one interface, link type RAW (101: the packet begins with its IP
// header). Each packet has its direction in epb_flags and, if it was dropped, the
// reason as comment; the interface statistics at the end tell what was lost.
//
// Files in reading order: writer.go, reader.go, text.go.
package capture
