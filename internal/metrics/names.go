package metrics

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// What is read at each scrape. The texts are those of docs/metrics.md.
var (
	// The account of the packet path.
	received    = desc("received_packets_total", "Packets that came in, in wire segments.")
	originated  = desc("originated_packets_total", "Packets of the router's own: errors, replies.")
	sent        = desc("sent_packets_total", "Packets that a device took.")
	consumed    = desc("consumed_packets_total", "Packets for the router, and dealt with.")
	dropped     = desc("dropped_packets_total", "Packets that ended here, by reason.", "reason")
	heldPackets = desc("held_packets_total", "Packets left with neighbor discovery, to find where they go.")
	released    = desc("released_packets_total", "Packets taken back from it, to be sent or dropped.")
	batches     = desc("batches_total", "Batches in which packets were taken through.")
	errsSent    = desc("icmp_errors_sent_total", "ICMPv6 errors originated.")
	errsLimited = desc("icmp_errors_limited_total", "ICMPv6 errors held back by the rate limit.")

	// Packets to the router in fragments.
	reassembled      = desc("reassembled_packets_total", "Packets to the router put together from fragments.")
	reassemblyFailed = desc("reassembly_failed_total", "Packets to the router whose fragments were given up, by cause.", "cause")
	reassemblyHeld   = desc("reassembly_held_packets", "Packets to the router of which fragments are missing.")
	reassemblyBytes  = desc("reassembly_held_bytes", "Memory that fragments to the router take.")

	// Workers.
	workerPackets = desc("worker_packets_total", "Packets that a worker received or originated.", "worker")
	workerBatches = desc("worker_batches_total", "Batches of a worker.", "worker")
	qsAge         = desc("qs_age_seconds", "How long a worker has delayed a grace period; zero if it delays none.", "worker")

	// Interfaces.
	ifaceInfo     = desc("interface_info", "Identity of an interface and its device.", "iface", "id", "device", "netns", "lower")
	ifaceState    = desc("interface_state", "1 for the state that an interface is in.", "iface", "state")
	ifaceDisabled = desc("interface_disabled", "1 while an interface takes no IPv6, as somebody else has its hardware address.", "iface")
	ifaceMTU      = desc("interface_mtu_bytes", "Largest packet that an interface takes.", "iface")
	rxPackets     = desc("interface_receive_packets_total", "Packets that came in through an interface, in wire segments.", "iface")
	rxBytes       = desc("interface_receive_bytes_total", "Bytes that came in through an interface.", "iface")
	txPackets     = desc("interface_transmit_packets_total", "Packets that an interface's device took, in wire segments.", "iface")
	txBytes       = desc("interface_transmit_bytes_total", "Bytes that an interface's device took.", "iface")
	rxMissed      = desc("interface_receive_missed_total", "Packets that the kernel had no room for until they were read, on packet ports.", "iface")
	txErrors      = desc("interface_transmit_errors_total", "Packets that an interface's device did not take.", "iface")

	// Neighbor discovery.
	neighbors    = desc("neighbors", "Neighbors on an Ethernet link, by state.", "iface", "state")
	overloaded   = desc("neighbor_discovery_overloaded", "1 while more is asked for than is resolved, as by a scan.", "iface")
	solicited    = desc("neighbor_solicitations_total", "Neighbor Solicitations of the router, to groups or to neighbors.", "to")
	suppressed   = desc("neighbor_solicitations_suppressed_total", "Neighbor Solicitations not sent because they were too many.")
	evicted      = desc("neighbors_evicted_total", "Neighbors forgotten to make room for others.")
	unanswered   = desc("neighbors_unanswered_total", "Neighbors that did not answer when they were asked for.")
	discoverLost = desc("neighbor_discovery_lost_total", "Messages and packets for neighbor discovery that were too many.")
	invalid      = desc("neighbor_discovery_invalid_total", "Messages of neighbor discovery that were not valid, by reason.", "reason")

	// PPPoE.
	pppoePhase  = desc("pppoe_phase", "1 for the phase that a PPPoE interface is in.", "iface", "phase")
	pppoeOpened = desc("pppoe_sessions_total", "Sessions in which packets flowed.", "iface")
	pppoeEnded  = desc("pppoe_ended_total", "Sessions that ended and attempts that failed, by cause.", "iface", "cause")

	// TCP and UDP of the router's own.
	tcpConnections = desc("tcp_connections", "Connections of the router's own, by what they do.", "doing")
	tcpOpened      = desc("tcp_opened_total", "Connections that were begun, by whom.", "by")
	tcpFailed      = desc("tcp_failed_total", "Attempts to connect that failed.")
	tcpSegments    = desc("tcp_segments_total", "Segments of the router's own TCP, superframes counted as one.", "direction")
	tcpAgain       = desc("tcp_retransmitted_total", "Segments that were sent again.")
	tcpResumed     = desc("tcp_resumed_total", "Segments sent when there was a way again for which they had waited.")
	tcpResets      = desc("tcp_resets_total", "Resets that were sent.")
	tcpCookies     = desc("tcp_syn_cookies_total", "SYNs answered with a cookie, because too many connections were half open.")
	tcpErrors      = desc("tcp_icmp_refused_total", "ICMPv6 errors about what was not outstanding.")
	udpDatagrams   = desc("udp_datagrams_total", "Datagrams of the router's own UDP, taken or sent.", "direction")
	udpErrors      = desc("udp_icmp_refused_total", "Packet Too Big about datagrams that were not sent of late.")

	// Lifetimes.
	lookupDead = desc("lookup_dead_total", "Lookups that returned a withdrawn interface. Must be 0.")
	drainingTx = desc("draining_tx_total", "Packets sent to a withdrawn interface under a table from before: legal.")
	refused    = desc("admission_refused_total", "Holders refused because the interface was draining, down or gone.")
	attached   = desc("attach_total", "Interfaces attached.")
	ifaces     = desc("ifaces", "Interfaces by state.", "state")
	orphans    = desc("orphans", "Interfaces past their detach deadline that have not ended.")
	holders    = desc("holders", "Handles that are out, by what they are for and the state of their interface.", "kind", "state")
	epochNow   = desc("epoch_current", "Current epoch.")
	readers    = desc("readers", "Readers that grace periods wait for.")
	deferred   = desc("deferred_objects", "Functions that wait for a grace period.")
	oldest     = desc("grace_oldest_seconds", "Age of the oldest grace period that is not over.")

	// The forwarding table.
	generation  = desc("snapshot_gen", "Generation of the forwarding table.")
	fibPrefixes = desc("fib_prefixes", "Prefixes in the forwarding table.")
	fibPairs    = desc("fib_pairs", "Pairs of slot and cover in the forwarding table.")
	fibTrie     = desc("fib_trie_bytes", "Memory of the trie, by state: live, waiting for readers, idle.", "state")
	fibPairMem  = desc("fib_pair_bytes", "Memory of the pairs.")
	fibSlots    = desc("fib_slots", "Slots of the forwarding table, emptied ones included.")
	fibNexthops = desc("fib_nexthops", "Nexthops in all slots of the forwarding table.")

	// The loop.
	turns   = desc("loop_turns_total", "Turns taken by the loop.")
	beat    = desc("loop_beat_timestamp_seconds", "When the loop last had nothing left to do.")
	answers = desc("loop_answers", "1 if the loop took the turn of this scrape; if 0, what it knows is missing here.")
)

// namespace is in front of every name.
const namespace = "router6d"

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

// Build is the version of this program, and the revision that it was built from.
func Build() (version, revision string) {
	version, revision = "unknown", "unknown"
	if b, ok := debug.ReadBuildInfo(); ok {
		version = b.Main.Version
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return version, revision
}

// buildInfo is what was built, from what.
func buildInfo() prometheus.Collector {
	version, revision := Build()
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "Always 1; the labels tell what runs.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "goversion": runtime.Version()},
	})
	g.Set(1)
	return g
}
