// Package rib holds every route on offer, decides which ones win, resolves
// their gateways, and writes the FIB. It is owned by the loop: no locks, no
// goroutines. It never looks at a packet, and never at the kernel.
//
// Targets are interned: all routes with the same target share one FIB slot, and
// a prefix names the slots of its routes in the order they are preferred. What
// the slot leads to is a function of the target, the interfaces that are up,
// and, for a gateway without an interface, the other routes.
//
//	Apply ──▶ entry 2001:db8::/32                 FIB
//	          ├─ static 0   ───▶ slot "via fe80::1 dev ppp0" ──▶ group 4: –
//	          └─ kernel 100 ─┬─▶ slot "dev eth1"             ──▶ group 3: eth1
//	          entry ::/0     │                  ▲
//	          └─ kernel 1024 ┘                  │
//	Up, Withdraw ───────────────────────────────┘ by interface name
//
// So an interface that goes or comes touches slots, however many prefixes name
// them; and a line that returns under another ID is found by its name.
//
// Large updates reach the FIB in slices, a turn each, and nothing that concerns
// an interface waits behind them.
//
// Files in reading order: rib.go, route.go, target.go, check.go, apply.go,
// install.go, resolve.go, iface.go, show.go.
package rib
