// Package tcp has only a test that measures the router's own TCP beside gVisor alone,
// on the same kind of device. It is there with the tag bench: make bench-tcpstack.
package tcp
