// Package bras is a real access concentrator for tests: Debian's pppoe-server and
// pppd, with the PPPoE of a real kernel. The machine's kernel needs none of it:
// Debian's User-Mode Linux has it, and is a process like any other.
//
//	namespace of the line                    guest: a process
//	+----------------------+                 +----------------------------+
//	| who dials in ── line |≡ veth, switch, ≡| vec0 ─ pppoe-server ─ pppd  |
//	|                      |  TAP            |            ppp0            |
//	+----------------------+                 |              │             |
//	+----------------------+                 |              │ forwards    |
//	| the Internet ─ uplink|≡≡≡ a TAP ≡≡≡≡≡≡≡| vec1 ────────┘    lo: Host |
//	+----------------------+                 +----------------------------+
//
// The guest's root file system is the machine's, read-only, so what apt-get
// installs is there. It is told what to do over a serial line. It is in a process
// namespace of its own and dies with the test, however that ends; its files are
// in the /dev/shm that nstest gives to the test binary.
//
//	s := bras.Start(t, bras.Options{Namespace: ns, Auth: bras.CHAP, Uplink: internet})
//	… dial in over device "line" of ns …
//	s.Terminate() // or PADT, Forget, Silence, Freeze, LinkDown, PowerCut
//
// For two servers on one Ethernet start both, each with a Link of its own, and
// make a bridge of the links with netlab's AddBridge.
//
// Tests alone import it, with nstest.Main in their TestMain. What fails ends the
// test, so methods are called on the test's goroutine.
//
// Files, in reading order: options.go, server.go (start, power), guest.go (the
// process), line.go (its lines, and what spoils them), drop.go (ways a session
// ends), session.go (what the server knows); guest/ is what runs inside.
package bras
