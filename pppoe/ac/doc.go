// Package ac is an access concentrator, the other end of package pppoe: for tests
// and for labs. It shares PPP with that, and so it proves nothing about what others
// understand of PPP; a real server does. It is a machine, without goroutine, clock
// or socket.
package ac
