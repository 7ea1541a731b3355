// Package demo is the router's main job as a show: namespaces and TUN devices,
// real traffic of the kernel's stack through the router, and interfaces that
// are made and destroyed under it all the while.
//
//	west ── west ┐            ┌ east ── east     TCP both ways and a paced UDP
//	             │  router6d  │                  probe: may lose nothing
//	             │            │
//	             └────────────┼ wan ── wan       20,000 routes; ends and comes
//	                          │                  back under the same name
//	                          └ side0…2 ── …     three at once; by command, by
//	                                             deletion, with their namespace
//
// Packets to wan and the sides carry the number of the incarnation that their
// address belongs to, and what arrives on a device with another number is a
// packet on the wrong interface.
//
// Files in reading order: demo.go, stage.go, traffic.go, churn.go, tag.go,
// result.go.
package demo
