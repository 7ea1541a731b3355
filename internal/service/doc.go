// Package service is the small services of the router's own TCP: echo, discard and
// chargen, RFC 862 to 864. They are for tests, and each knows only a net.Listener.
package service
