// Package ifmgr owns every interface from attach to detach, gives out counted
// handles to it, and is the only one that can close its port.
//
//	Attach ──▶ Down ◀──Carrier──▶ Up          lookups return it while Up
//	             │                 │
//	             └─────Detach──────┤
//	                               ▼
//	                           Draining       nothing new may take hold
//	                          ╱        ╲
//	     readers and holders ╱          ╲ the deadline came first
//	     have gone          ▼            ▼
//	                    Detached ◀── Orphaned   the device is dead, its number taken
//
// Whatever ends an interface — a command, its deletion by someone else, a
// broken descriptor, shutdown — is one call, Detach, with another cause; and
// Detach is gate, withdraw, grace, holders, close, always in this order.
//
// All state of an interface is in the object itself and leaves with it: what
// a reader reaches through a Handle or a nexthop is there until it leaves its
// epoch.
//
// It never looks at a packet and never takes a route: those who do follow it
// through Hooks.
//
// Files in reading order: ifmgr.go (the object), handle.go, attach.go,
// carrier.go, change.go, detach.go, vlan.go; pppoe.go and mail.go, of sessions;
// neighbor.go and inbox.go, of Ethernet ports; then the kernel's side: device.go,
// prepare.go, mac.go, silence.go, nft.go, watch.go, keeper.go.
package ifmgr
