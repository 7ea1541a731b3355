// Package router is the wiring: it builds the parts of a router, starts them in
// order, and stops them in reverse, each joined before the next. The daemon, the
// demo and the tests run this same router.
//
//	start  loop ▶ watch ▶ tcpstack ▶ interfaces ▶ routes ▶ keeper
//	stop   keeper ▶ tcpstack ▶ interfaces, all detached ▶ workers ▶ watch ▶ loop
//
// It decides nothing that concerns a packet.
//
// Files in reading order: router.go, run.go, change.go, reload.go.
package router
