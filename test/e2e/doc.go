// Package e2e holds the stories that the whole program must survive: the daemon
// as it is installed, real peers of Debian around it (iproute2, iputils-ping,
// iperf3, ndisc6, scapy), and the kernel as the oracle where there is one.
//
// It contains tests only. They want ROUTER6D_PRIVILEGED=1, and run in network
// and mount namespaces of their own. ROUTER6D_BIN is the program under test;
// without it, it is built.
//
//	   namespace red          the test's own          namespace blue
//	+------------------+    +----------------+    +------------------+
//	| ping, iperf3 -c, |    |  router6d run  |    | iperf3 -s,       |
//	| scapy       [red]+----+                +----+[blue]            |
//	+------------------+    +----------------+    +------------------+
//
// Files, in reading order: main_test.go (the program under test), command_test.go
// (running others), daemon_test.go (running the daemon, its log, its end),
// lab_test.go (scenery); then the stories: ping, mtu, detach, carrier, attach,
// failure, show, manners, openapi, wire (scapy), ecmp, reload, demo, readme, docs.
package e2e
