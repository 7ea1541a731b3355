package dataplane

import (
	"errors"

	"github.com/router6d/router6d/internal/link"
)

// A Drop is the reason for which a packet ends here. Each has a counter.
type Drop uint8

// None is no reason: the packet goes on.
const None Drop = 0

// The reasons, in the order in which a packet meets them.
const (
	NotIPv6           Drop = iota + 1 // another version, or nothing at all
	OtherStation                      // in a frame to another station
	InterfaceDisabled                 // its interface takes no IPv6, RFC 4862 §5.4.5
	GroupFrame                        // unicast, in a frame to a group
	Truncated                         // shorter than it says, RFC 8200 §3
	BadOffload                        // its virtio-net header contradicts it
	BadSource                         // multicast, unspecified or loopback source, RFC 4291 §2.5, §2.7
	BadDestination                    // unspecified or loopback destination, RFC 4291 §2.5
	Multicast                         // a group that the router is not in
	LinkLocalTarget                   // a link-local address that is not the router's
	RoutingHeader                     // routing header type 0, RFC 5095
	NoRoute                           // answered: no route
	Prohibited                        // answered: administratively prohibited
	Blackholed                        // not answered
	BeyondScope                       // a link-local source would leave its link, RFC 4007 §9
	HopLimit                          // hop limit used up, RFC 8200 §3
	SameLink                          // would go back on its point-to-point link, RFC 4443 §3.1
	TooBig                            // larger than the MTU of the way out, RFC 8200 §5
	FragmentLength                    // to the router, and no fragment has this length
	FragmentChain                     // to the router, a first fragment without all headers
	FragmentIdle                      // to the router, a fragment that adds nothing
	FragmentOverlap                   // to the router, of a packet whose fragments overlap
	LocalLimit                        // to the router, with more options or headers than it bears
	LocalField                        // to the router, with a header or option that does not fit
	LocalOption                       // to the router, with an option it does not know
	LocalChecksum                     // to the router, with a wrong checksum
	LocalHeader                       // to the router, with a header it does not know
	LocalPort                         // to the router, where nothing listens
	LocalLimited                      // to the router, more connections or datagrams than their source may have, or one SYN of too many
	LocalFull                         // to the router's own TCP or UDP, and too much of it
	LocalIgnored                      // to the router or its groups, and of no concern to it
	DiscoveryInvalid                  // neighbor discovery, and not valid
	DiscoveryFull                     // neighbor discovery, and too much of it
	EchoLimited                       // echo request over the rate limit
	NoSource                          // the router's own, and it has no address to send from
	SourceLeft                        // the router's own, from an address that it no longer has
	NeighborUnknown                   // nobody has the address, RFC 4861 §7.2.2
	NeighborOverflow                  // too much is held for neighbors, or too many are asked for
	NeighborStopped                   // it was held, or was to be, and the link or the interface ended
	DeadInterface                     // a lookup returned a withdrawn interface: must never happen
	InterfaceDown                     // the way out has just gone down
	InterfaceGone                     // the way out has just been deleted
	SessionFull                       // for the session itself, and too much of it
	NoSession                         // the way out has no session now
	InterfaceSevered                  // the way out was orphaned, and its device is dead
	InterfaceFull                     // the way out takes no more now
	InterfaceRefused                  // the way out does not take this packet

	drops
)

// dropNames and dropTexts are what people see; docs are made from them.
var dropNames = [drops]string{
	NotIPv6:           "not_ipv6",
	OtherStation:      "other_station",
	InterfaceDisabled: "interface_disabled",
	GroupFrame:        "group_frame",
	Truncated:         "truncated",
	BadOffload:        "bad_offload",
	BadSource:         "bad_source",
	BadDestination:    "bad_destination",
	Multicast:         "multicast",
	LinkLocalTarget:   "link_local_target",
	RoutingHeader:     "routing_header",
	NoRoute:           "no_route",
	Prohibited:        "prohibited",
	Blackholed:        "blackhole",
	BeyondScope:       "beyond_scope",
	HopLimit:          "hop_limit",
	SameLink:          "same_link",
	TooBig:            "too_big",
	FragmentLength:    "fragment_length",
	FragmentChain:     "fragment_chain",
	FragmentIdle:      "fragment_idle",
	FragmentOverlap:   "fragment_overlap",
	LocalLimit:        "local_limit",
	LocalField:        "local_field",
	LocalOption:       "local_option",
	LocalChecksum:     "local_checksum",
	LocalHeader:       "local_header",
	LocalPort:         "local_port",
	LocalLimited:      "local_limited",
	LocalFull:         "local_full",
	LocalIgnored:      "local_ignored",
	DiscoveryInvalid:  "discovery_invalid",
	DiscoveryFull:     "discovery_full",
	EchoLimited:       "echo_limited",
	NoSource:          "no_source",
	SourceLeft:        "source_left",
	NeighborUnknown:   "neighbor_unknown",
	NeighborOverflow:  "neighbor_overflow",
	NeighborStopped:   "neighbor_stopped",
	DeadInterface:     "dead_interface",
	InterfaceDown:     "interface_down",
	InterfaceGone:     "interface_gone",
	SessionFull:       "session_full",
	NoSession:         "no_session",
	InterfaceSevered:  "interface_severed",
	InterfaceFull:     "interface_full",
	InterfaceRefused:  "interface_refused",
}

var dropTexts = [drops]string{
	NotIPv6:           "another IP version, or no packet at all",
	OtherStation:      "in a frame to another station",
	InterfaceDisabled: "came in by an interface that is disabled: somebody else has its hardware address",
	GroupFrame:        "unicast, in a frame to a group",
	Truncated:         "shorter than its header says",
	BadOffload:        "its virtio-net header contradicts it",
	BadSource:         "source is multicast, unspecified or loopback",
	BadDestination:    "destination is unspecified or loopback",
	Multicast:         "to a group that the router is not in",
	LinkLocalTarget:   "to a link-local address that is not the router's; answered: address unreachable",
	RoutingHeader:     "routing header type 0; answered: parameter problem",
	NoRoute:           "no route; answered: no route",
	Prohibited:        "prohibit route; answered: administratively prohibited",
	Blackholed:        "blackhole route",
	BeyondScope:       "link-local source would leave its link; answered: beyond scope",
	HopLimit:          "hop limit used up; answered: time exceeded",
	SameLink:          "would go back on the point-to-point link it came from; answered: address unreachable",
	TooBig:            "larger than the MTU of the way out; answered: packet too big",
	FragmentLength:    "to the router, a fragment of a length that none has; answered: parameter problem",
	FragmentChain:     "to the router, a first fragment without all headers; answered: parameter problem",
	FragmentIdle:      "to the router, a fragment that adds nothing to those before it",
	FragmentOverlap:   "to the router, of a packet whose fragments overlap, do not go together, or are too many",
	LocalLimit:        "to the router, with more options or extension headers than it bears",
	LocalField:        "to the router, with a header or option that does not fit; answered: parameter problem",
	LocalOption:       "to the router, with an unknown option; answered if that wants it: parameter problem",
	LocalChecksum:     "to the router, with a wrong checksum",
	LocalHeader:       "to the router, with an unknown header; answered: parameter problem",
	LocalPort:         "to the router, where nothing listens; answered: port unreachable",
	LocalLimited:      "to the router, more connections or datagrams than their source may have, or one SYN of too many",
	LocalFull:         "to the router's own TCP or UDP, one of too many",
	LocalIgnored:      "to the router or one of its groups, of no concern to it",
	DiscoveryInvalid:  "a message of neighbor discovery that is not valid",
	DiscoveryFull:     "a message of neighbor discovery, one of too many",
	EchoLimited:       "echo request over the rate limit",
	NoSource:          "sent by the router, which has no address to send it from",
	SourceLeft:        "sent by the router, from an address that it no longer has",
	NeighborUnknown:   "nobody on the link has the address; answered: address unreachable",
	NeighborOverflow:  "to a neighbor that is not known, one of too many",
	NeighborStopped:   "held for a neighbor, or to be, when the link or the interface ended",
	DeadInterface:     "a lookup returned a withdrawn interface: must never happen",
	InterfaceDown:     "the way out has just gone down",
	InterfaceGone:     "the way out has just been deleted",
	SessionFull:       "of PPP or PPPoE, one of too many",
	NoSession:         "the way out has no session now",
	InterfaceSevered:  "the way out was orphaned, and its device is dead",
	InterfaceFull:     "the way out takes no more packets now",
	InterfaceRefused:  "the way out does not take this packet",
}

// String is the reason's name in counters and metrics.
func (d Drop) String() string { return dropNames[d] }

// Text is the reason in words.
func (d Drop) Text() string { return dropTexts[d] }

// Drops lists every reason.
func Drops() []Drop {
	all := make([]Drop, 0, drops-1)
	for d := None + 1; d < drops; d++ {
		all = append(all, d)
	}
	return all
}

// refused is why a port did not send.
func refused(err error) Drop {
	switch {
	case errors.Is(err, link.ErrDown):
		return InterfaceDown
	case errors.Is(err, link.ErrGone):
		return InterfaceGone
	case errors.Is(err, link.ErrSevered):
		return InterfaceSevered
	case errors.Is(err, link.ErrNoSession):
		return NoSession
	case errors.Is(err, link.ErrFull):
		return InterfaceFull
	}
	return InterfaceRefused
}
