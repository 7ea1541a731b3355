package ppp

import "net/netip"

// Options of IPCP: RFC 1332 §3.3 and RFC 1877 §1.1, §1.3.
const (
	optionAddress = 3
	optionDNS1    = 129
	optionDNS2    = 131
)

// IPv4 is what IPCP agrees upon. It never changes.
type IPv4 struct {
	Own, Peer netip.Addr    // the peer's is zero if it has not said
	DNS       [2]netip.Addr // servers that the peer names; zero: none
}

// ipcp negotiates the IPv4 addresses of both ends. A host asks for what it is given;
// a concentrator has been told what to give.
type ipcp struct {
	give IPv4              // of a concentrator: its own address, and the host's
	asks map[uint8]address // by option; those that the peer does not know are missing
	peer address
}

type address = [4]byte

var none address

func newIPCP(give IPv4) *ipcp {
	n := &ipcp{give: give, asks: map[uint8]address{optionAddress: bytesOf(give.Own)}}
	if !give.Own.IsValid() {
		n.asks[optionDNS1], n.asks[optionDNS2] = none, none
	}
	return n
}

func (n *ipcp) request() (all []Option) {
	for _, typ := range []uint8{optionAddress, optionDNS1, optionDNS2} {
		if a, ok := n.asks[typ]; ok {
			all = append(all, Option{typ, a[:]})
		}
	}
	return all
}

func (n *ipcp) refused(nak bool, all []Option) {
	for _, o := range all {
		_, asked := n.asks[o.Type]
		switch {
		case !asked: // RFC 1661 §5.3 lets it want more; a host has no more to say
		case !nak:
			delete(n.asks, o.Type)
		case len(o.Data) == len(none):
			n.asks[o.Type] = address(o.Data)
		}
	}
}

// judge takes any address that the peer has, unless it is told which: those of both
// ends are the peer's to know, if it is a concentrator.
func (n *ipcp) judge(all []Option, patient bool) (Code, []Option) {
	var unknown, wrong []Option
	peer := none
	for _, o := range all {
		want, known := n.wants(o.Type)
		switch {
		case !known || len(o.Data) != len(none):
			unknown = append(unknown, o)
		case want == none && o.Type == optionAddress && address(o.Data) != none:
			peer = address(o.Data)
		case want == none:
			unknown = append(unknown, o) // it asks for an address, and we have none to give
		case address(o.Data) != want:
			wrong = append(wrong, Option{o.Type, want[:]})
		case o.Type == optionAddress:
			peer = want
		}
	}
	switch {
	case len(unknown) > 0:
		return ConfigureReject, unknown
	case len(wrong) > 0 && patient:
		return ConfigureNak, wrong
	case len(wrong) > 0:
		return ConfigureReject, wrong
	}
	n.peer = peer
	return ConfigureAck, all
}

// wants is what the peer should have; none: it is up to it.
func (n *ipcp) wants(typ uint8) (a address, known bool) {
	switch typ {
	case optionAddress:
		return bytesOf(n.give.Peer), true
	case optionDNS1:
		return bytesOf(n.give.DNS[0]), n.give.DNS[0].IsValid()
	case optionDNS2:
		return bytesOf(n.give.DNS[1]), n.give.DNS[1].IsValid()
	}
	return none, false
}

// agreed is the outcome. Without an address of our own there is no IPv4.
func (n *ipcp) agreed() (got IPv4, ok bool) {
	own := n.asks[optionAddress]
	if own == none {
		return got, false
	}
	got.Own, got.Peer = netip.AddrFrom4(own), addrOf(n.peer)
	got.DNS = [2]netip.Addr{addrOf(n.asks[optionDNS1]), addrOf(n.asks[optionDNS2])}
	return got, true
}

func bytesOf(a netip.Addr) address {
	if !a.Is4() {
		return none
	}
	return a.As4()
}

func addrOf(b address) netip.Addr {
	if b == none {
		return netip.Addr{}
	}
	return netip.AddrFrom4(b)
}
