// Package metrics tells Prometheus what the router has and does. Everything is
// read when it is asked for, so that no packet pays for it; only what a detach
// or a grace period took is noted as it ends. The names are a contract:
// docs/metrics.md has them all, and a test compares.
//
// It never changes anything, and tells what it can when the loop does not
// answer.
//
// A counter must not go back while its series is shown, or Prometheus takes it
// for a restart. Interfaces and workers end, and come back under their names:
//
//	id 7 of red      0 ── 40 ┐
//	id 9 of red              └ 0 ── 25
//	iface="red"      0 ── 40   40 ── 65   no series in between
//
// So series are by name and not by ID, which interface_info has; and what
// earlier incarnations of a name counted is added to the living one.
//
// Files in reading order: metrics.go, collect.go, names.go, ledger.go,
// server.go.
package metrics
