package control

import (
	"net/netip"
	"time"
)

// Interface is one interface now.
type Interface struct {
	ID        uint64           `json:"id"` // never used again
	Name      string           `json:"name"`
	Type      string           `json:"type"`               // as in the configuration
	Origin    string           `json:"origin"`             // file or runtime
	State     string           `json:"state"`              // down, up, draining, orphaned
	Disabled  bool             `json:"disabled,omitempty"` // takes no IPv6: somebody else has its hardware address
	Since     time.Time        `json:"since"`              // of the state
	Device    string           `json:"device"`
	Netns     string           `json:"netns,omitempty"`
	Lower     string           `json:"lower,omitempty"`    // what it is stacked on
	VLAN      uint16           `json:"vlan,omitempty"`     // its ID there
	Protocol  string           `json:"protocol,omitempty"` // of its tag: 802.1q or 802.1ad
	MAC       string           `json:"mac,omitempty"`      // the router's; empty where there is no Ethernet
	MTU       int              `json:"mtu"`
	HopLimit  uint8            `json:"hop_limit"`
	Addresses []netip.Prefix   `json:"addresses"`
	Holders   map[string]int64 `json:"holders"` // handles out, by what they are for
	Traffic   Traffic          `json:"traffic"`
}

// Traffic counts wire segments and bytes of superframes as they were passed.
type Traffic struct {
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
	TxErrors  uint64 `json:"tx_errors"`
	RxMissed  uint64 `json:"rx_missed"`
}

// Route is one route on offer.
type Route struct {
	Prefix netip.Prefix `json:"prefix"`
	Source string       `json:"source"`
	Metric uint32       `json:"metric"`
	Origin string       `json:"origin"` // file or runtime
	Target string       `json:"target"`
	Active bool         `json:"active"`
	Reason string       `json:"reason,omitempty"` // why not, or why not by all its paths
}

// Offered is what became of a route that was added.
type Offered struct {
	Hint string `json:"hint,omitempty"` // why packets do not take it now, or not by all its paths
}

// Nexthops is one target of routes and what it leads to now.
type Nexthops struct {
	Slot     uint32    `json:"slot"`
	Target   string    `json:"target"`
	Routes   int       `json:"routes"`
	Nexthops []Nexthop `json:"nexthops"`
	Reason   string    `json:"reason,omitempty"`
}

// Nexthop is one way out.
type Nexthop struct {
	Interface string `json:"interface"`
	ID        uint64 `json:"id"`
	Gateway   string `json:"gateway,omitempty"`
	Weight    uint8  `json:"weight"`
	HopLimit  uint8  `json:"hop_limit,omitempty"` // of the router's own packets, if a route says
}

// Neighbors is who is on an Ethernet link, as far as the router knows.
type Neighbors struct {
	Interface  string     `json:"interface"`
	Overloaded bool       `json:"overloaded"`         // more is asked for than is resolved
	Disabled   bool       `json:"disabled,omitempty"` // as the interface
	Addresses  []Address  `json:"addresses"`          // the router's own
	Neighbors  []Neighbor `json:"neighbors"`
	// What was done so far.
	Solicited  uint64            `json:"solicited"`
	Probed     uint64            `json:"probed"`
	Suppressed uint64            `json:"suppressed"`
	Evicted    uint64            `json:"evicted"`
	Unanswered uint64            `json:"unanswered"`
	Lost       uint64            `json:"lost"`
	Invalid    map[string]uint64 `json:"invalid"`
}

// Session is a PPPoE interface: the session that it has, or is about to have, and
// those it had.
type Session struct {
	Interface string    `json:"interface"`
	ID        uint64    `json:"id,omitempty"`  // of the interface, while it is there
	Phase     string    `json:"phase"`         // idle, waiting, discovering, requesting, linking, open
	Since     time.Time `json:"since"`         // of the phase
	Next      time.Time `json:"next,omitzero"` // of waiting: when the next try comes
	Opened    time.Time `json:"opened,omitzero"`
	Session   uint16    `json:"session,omitempty"`
	Peer      string    `json:"peer,omitempty"` // MAC
	AC        string    `json:"ac,omitempty"`
	Service   string    `json:"service,omitempty"`
	MTU       int       `json:"mtu,omitempty"`
	Auth      string    `json:"auth,omitempty"`
	IPv4      string    `json:"ipv4,omitempty"` // our address, while IPv4 flows
	IPv4Peer  string    `json:"ipv4_peer,omitempty"`
	DNS       []string  `json:"dns,omitempty"` // servers that the peer names
	// What was done so far.
	Sessions uint64            `json:"sessions"` // in which anything flowed
	Ended    map[string]uint64 `json:"ended"`    // sessions and attempts, by cause
	History  []SessionEnd      `json:"history"`  // the newest first
}

// SessionEnd is a session that was, or an attempt at one.
type SessionEnd struct {
	Closed  time.Time `json:"closed"`
	Lasted  float64   `json:"lasted,omitempty"` // seconds; none if nothing ever flowed
	Session uint16    `json:"session,omitempty"`
	Peer    string    `json:"peer,omitempty"`
	AC      string    `json:"ac,omitempty"`
	Cause   string    `json:"cause"`
	Text    string    `json:"text,omitempty"` // what the peer said
}

// Connection is one of the router's own TCP.
type Connection struct {
	Local     netip.AddrPort `json:"local"`
	Remote    netip.AddrPort `json:"remote"`
	State     string         `json:"state"`               // RFC 9293, in lower case
	Begun     string         `json:"begun"`               // by peer or router
	Interface string         `json:"interface,omitempty"` // by which it leaves now
	Gateway   string         `json:"gateway,omitempty"`   // likewise
	HopLimit  uint8          `json:"hop_limit,omitempty"` // with which it leaves now
	MTU       int            `json:"mtu,omitempty"`       // of the way out now
	PathMTU   int            `json:"path_mtu,omitempty"`  // if the path is narrower
	WaitsFor  string         `json:"waits_for,omitempty"` // the reason for which its last segment was not sent
	Since     time.Time      `json:"since,omitzero"`      // of waiting
	Sent      uint64         `json:"sent"`                // bytes, those sent again included
	Received  uint64         `json:"received"`            // likewise
	RTT       float64        `json:"rtt_seconds"`         // smoothed
	RTO       float64        `json:"rto_seconds"`         // now
	Window    int            `json:"window,omitempty"`    // of congestion, in segments
}

// Address is one of the router's own on an Ethernet link.
type Address struct {
	Address netip.Addr `json:"address"`
	State   string     `json:"state"` // tentative, ready, duplicate or anycast
}

// Neighbor is a node on an Ethernet link.
type Neighbor struct {
	Address netip.Addr `json:"address"`
	MAC     string     `json:"mac,omitempty"`
	State   string     `json:"state"`
	Since   time.Time  `json:"since"`
	Router  bool       `json:"router"`
	Held    int        `json:"held"` // packets that wait
}

// FIB is the size of the forwarding table.
type FIB struct {
	Generation    uint64  `json:"generation"`
	Prefixes      int     `json:"prefixes"`
	Pairs         int     `json:"pairs"`
	Slots         int     `json:"slots"`
	Nexthops      int     `json:"nexthops"`
	TrieBytes     int     `json:"trie_bytes"`    // including the two that follow
	WaitingBytes  int     `json:"waiting_bytes"` // for readers of older snapshots to leave
	IdleBytes     int     `json:"idle_bytes"`    // to be used again
	PairBytes     int     `json:"pair_bytes"`
	BytesPerRoute float64 `json:"bytes_per_route"` // of the trie and the pairs
}

// Counters is the account of the packet path, in wire segments:
// received + originated + released = sent + consumed + held + dropped.
type Counters struct {
	Received          uint64 `json:"received"`
	Originated        uint64 `json:"originated"`
	Sent              uint64 `json:"sent"`
	Consumed          uint64 `json:"consumed"`
	Held              uint64 `json:"held"`     // left with neighbor discovery
	Released          uint64 `json:"released"` // and taken back
	Dropped           uint64 `json:"dropped"`
	Balanced          bool   `json:"balanced"`
	Batches           uint64 `json:"batches"`
	ICMPErrorsSent    uint64 `json:"icmp_errors_sent"`
	ICMPErrorsLimited uint64 `json:"icmp_errors_limited"`

	Reassembly Reassembly `json:"reassembly"`
}

// Reassembly is the account of packets to the router that come in fragments.
type Reassembly struct {
	Reassembled uint64 `json:"reassembled"`
	TimedOut    uint64 `json:"timed_out"`
	Refused     uint64 `json:"refused"`
	Evicted     uint64 `json:"evicted"`
	Held        int    `json:"held"`
	Bytes       int    `json:"bytes"`
}

// Drop is one reason for which packets ended, and how many did.
type Drop struct {
	Reason  string `json:"reason"`
	Packets uint64 `json:"packets"`
	Text    string `json:"text"`
}

// Epoch is the state of lifetimes: grace periods, and the counters that prove
// the protocol.
type Epoch struct {
	LookupDeadTotal       uint64 `json:"lookup_dead_total"` // must be 0
	DrainingTxTotal       uint64 `json:"draining_tx_total"` // legal: an older snapshot
	DeadFileTxTotal       uint64 `json:"tx_deadfile_total"` // refused by an orphan's port
	AdmissionRefusedTotal uint64 `json:"admission_refused_total"`
	Attached              uint64 `json:"attached_total"`
	DetachClean           uint64 `json:"detach_clean_total"`
	DetachOrphaned        uint64 `json:"detach_orphaned_total"`
	Orphans               int    `json:"orphans"` // now
	// Interfaces counts them by state, Holders the handles that are out by what
	// they are for.
	Interfaces map[string]int   `json:"interfaces"`
	Holders    map[string]int64 `json:"holders"`
	// Means of clean detaches, by phase.
	Phases map[string]float64 `json:"detach_phase_mean_seconds"`

	Epoch            uint64  `json:"epoch_current"`
	Readers          int     `json:"readers"`
	Graces           uint64  `json:"grace_total"`
	GraceMeanSeconds float64 `json:"grace_mean_seconds"`
	GraceMaxSeconds  float64 `json:"grace_max_seconds"`
	Deferred         int     `json:"deferred"` // functions that wait for a grace period
	OldestSeconds    float64 `json:"grace_oldest_seconds"`
	// Slowest names the readers that the oldest open grace period waits for.
	Slowest []string `json:"slowest,omitempty"`
	// The FIB.
	Generation uint64 `json:"snapshot_gen"`
	Prefixes   int    `json:"fib_prefixes"`
	Pairs      int    `json:"fib_pairs"`
	Slots      int    `json:"fib_slots"`
	Nexthops   int    `json:"fib_nexthops"`
	// The loop.
	Turns         uint64  `json:"loop_turns"`
	UptimeSeconds float64 `json:"uptime_seconds"`
}

// Lookup is where the router would send a packet, and why.
type Lookup struct {
	Address   netip.Addr `json:"address"`
	From      string     `json:"from,omitempty"`
	Verdict   string     `json:"verdict"`
	Interface string     `json:"interface,omitempty"`
	Gateway   string     `json:"gateway,omitempty"`
	HopLimit  uint8      `json:"hop_limit,omitempty"` // of the router's own packets
	MTU       int        `json:"mtu,omitempty"`
	Source    string     `json:"source,omitempty"` // the router would send from
	Steps     []Step     `json:"steps"`
}

// Step is one route that the lookup looked at; the last one answers.
type Step struct {
	Prefix string `json:"prefix"`
	Source string `json:"source,omitempty"`
	Metric uint32 `json:"metric"`
	Target string `json:"target"`
	Reason string `json:"reason,omitempty"`
}

// Ledger is what one detach did.
type Ledger struct {
	ID     uint64 `json:"id"`
	Name   string `json:"name"`
	Cause  string `json:"cause"`
	Result string `json:"result"` // clean or orphaned
	Error  string `json:"error,omitempty"`

	Routes int `json:"routes_affected"`
	Slots  int `json:"slots_rewritten"`
	Purged int `json:"packets_purged"`
	// Readers is how many were asked for; Waiting names those that are late.
	Readers int              `json:"readers"`
	Waiting []string         `json:"readers_waiting,omitempty"`
	Holders map[string]int64 `json:"holders,omitempty"`

	WithdrawSeconds float64 `json:"withdraw_seconds"`
	GraceSeconds    float64 `json:"grace_seconds"`
	HoldSeconds     float64 `json:"hold_seconds"`
	CloseSeconds    float64 `json:"close_seconds"`
	TotalSeconds    float64 `json:"total_seconds"`
}

// Change is one difference between the configuration file and the router.
type Change struct {
	Action string `json:"action"` // add, delete or change
	What   string `json:"what"`
	Detail string `json:"detail,omitempty"`
}

// Health says that the router moves. One that does not answers with a Problem.
type Health struct {
	Healthy bool `json:"healthy"`
}

// Problem is the body of every answer that is not a success.
type Problem struct {
	Error string `json:"error"`
}

// Level is that of the log.
type Level struct {
	Level string `json:"level"` // debug, info, warn or error
}
