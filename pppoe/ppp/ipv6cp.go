package ppp

import (
	"bytes"
	"slices"
)

// optionIID is the interface identifier, RFC 5072 §4.1, the only option.
const optionIID = 1

// An IID is an interface identifier: the second half of a link-local address.
type IID [8]byte

// ipv6cp negotiates the interface identifiers of both ends.
type ipv6cp struct {
	l         *Link
	own, peer IID
	noIID     bool // the peer does not know of it
}

func (n *ipv6cp) request() []Option {
	if n.noIID {
		return nil
	}
	return []Option{{optionIID, bytes.Clone(n.own[:])}}
}

func (n *ipv6cp) refused(nak bool, all []Option) {
	for _, o := range all {
		switch {
		case o.Type == optionIID && !nak:
			n.noIID = true
		case o.Type == optionIID && len(o.Data) == len(n.own) && !isZero(o.Data):
			copy(n.own[:], o.Data)
		case o.Type == optionIID:
			n.own = n.l.newIID()
		}
	}
}

func (n *ipv6cp) judge(all []Option, patient bool) (Code, []Option) {
	unknown := slices.DeleteFunc(slices.Clone(all), func(o Option) bool { return o.Type == optionIID && len(o.Data) == len(n.peer) })
	if len(unknown) > 0 {
		return ConfigureReject, unknown
	}
	peer := IID{}
	for _, o := range all {
		copy(peer[:], o.Data)
	}
	// RFC 5072 §4.1: neither none, nor the same at both ends.
	if (peer == IID{} || peer == n.own) && patient {
		other := n.l.newIID()
		return ConfigureNak, []Option{{optionIID, other[:]}}
	}
	if len(all) > 0 && (peer == IID{} || peer == n.own) {
		return ConfigureReject, all
	}
	n.peer = peer
	return ConfigureAck, all
}

func isZero(b []byte) bool { return !slices.ContainsFunc(b, func(x byte) bool { return x != 0 }) }
