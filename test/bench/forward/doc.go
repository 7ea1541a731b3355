// Package forward has only a benchmark: router6d forwarding beside what one would
// take instead, on the same machine and in the same minutes. It is there with the
// tag bench: make bench-forward.
//
//	  namespace "src"                                 namespace "dst"
//	+-----------------+    TUN  +-----------+  TUN  +------------------+
//	| iperf3, ping,   +---------+ contestant+-------+ iperf3 --server; |
//	| packet generator|         | a process |       | or what arrives  |
//	+-----------------+         +-----------+       | is counted       |
//	                                                +------------------+
//
// Contestants with another kind of port are there for one comparison each. Those with
// Ethernet links have veth pairs, as the kernel; PPPoE has a concentrator of our own
// on dst's, which is a process beside it.
//
// All contestants are up all the time, each between two namespaces of its own, and
// take turns: every load is run through all of them before it is run again, and none
// begins before the one before it has come to rest. A
// figure is the median of its rounds; a ratio the median of the rounds' ratios, so
// that what else goes on in a machine falls on both sides of it.
//
// Files in reading order: forward_test.go (what is run), contestant_test.go (who
// there is), daemon_test.go (router6d), scene_test.go (between which hosts),
// load_test.go (what is sent), relay_test.go (the contestants that are written here),
// concentrator_test.go, report_test.go.
package forward
