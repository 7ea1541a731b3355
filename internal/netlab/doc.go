// Package netlab is the demo's and the tests' scenery: network namespaces,
// the devices in them, traffic between them that counts every byte, and eyes
// on the wire. It speaks netlink and raw system calls itself, so that it works
// where there is nothing but the binary and root.
//
// It never carries a packet for the router, never touches a namespace that it
// was not given, and runs no other program.
//
//	  namespace "a"                              namespace "b"
//	+---------------+                          +------------------+
//	| StartTCPFlow -+------> the router >------+-> StartTCPSink   |
//	|             <-+------<    under   <------+- count, verdict  |
//	| StartUDPProbe-+------>    test    >------+-> its receiver   |
//	| SendRaw      -+-->                   >---+-> OpenCapture    |
//	+---------------+                          +------------------+
//
// Files, in reading order:
//
//	ns.go       a namespace, by name, and running a function in it
//	link.go     devices, addresses and routes of a namespace
//	wait.go     waiting until a device is as one wants it
//	socket.go   the steps common to all sockets here
//	pattern.go  bytes that know their place in the stream
//	tcp.go      the sending end of a verified TCP flow
//	tcpsink.go  the receiving end
//	udp.go      a paced UDP probe and its report
//	udpsend.go  its sending end
//	udprecv.go  its receiving end
//	window.go   sequence numbers seen
//	latency.go  a histogram of delays
//	mmsg.go     many datagrams a system call
//	capture.go  packets read off a device
//	inject.go   packets put on a device
//	vlan.go     hosts in a VLAN
//	tag.go      packets that say for which incarnation of a device they are
//	leg.go      configurations of interfaces that lead here
//	clock.go    the only place that asks for the time
//
// Package fds lists the descriptors of this process; package nstest runs tests
// that need privilege.
//
// Whatever is started here (Start…) has goroutines until its Stop has
// returned; nothing else has any that outlive the call. The mutexes are over
// counters read from outside the router: there is no loop here to own them.
package netlab
