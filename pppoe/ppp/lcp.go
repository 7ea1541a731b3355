package ppp

import (
	"encoding/binary"
	"slices"
)

// Options of LCP, RFC 1661 §6.
const (
	optionMRU   = 1
	optionAuth  = 3
	optionMagic = 5
)

const (
	// DefaultMRU is what holds where nothing is said, RFC 1661 §6.1.
	DefaultMRU = 1500
	minMRU     = 1280 // IPv6 needs it, RFC 8200 §5
	// maxLoops is how often our own magic number may come back, before that is no
	// accident.
	maxLoops = 5
)

// lcp negotiates the link itself.
type lcp struct {
	l         *Link
	mru       uint16 // ours; what the peer may send us
	noMRU     bool   // the peer does not know of it
	noMagic   bool
	magic     uint32
	demand    []Auth // what we ask of the peer; the first is asked for
	peerMRU   uint16
	peerMagic uint32
	peerAuth  Auth // what the peer asks of us
	loops     int
}

func (n *lcp) request() (all []Option) {
	if n.mru != DefaultMRU && !n.noMRU {
		all = append(all, Option{optionMRU, binary.BigEndian.AppendUint16(nil, n.mru)})
	}
	if len(n.demand) > 0 {
		all = append(all, Option{optionAuth, n.demand[0].option()})
	}
	if !n.noMagic {
		all = append(all, Option{optionMagic, binary.BigEndian.AppendUint32(nil, n.magic)})
	}
	return all
}

func (n *lcp) refused(nak bool, all []Option) {
	for _, o := range all {
		switch {
		case o.Type == optionMRU && !nak:
			n.noMRU = true
		case o.Type == optionMRU && len(o.Data) == 2:
			// A smaller one would do as well: what the peer sends is its own affair.
			if want := binary.BigEndian.Uint16(o.Data); want >= minMRU {
				n.mru = min(n.mru, want)
			}
		case o.Type == optionMagic && !nak:
			n.noMagic = true
		case o.Type == optionMagic:
			n.looped(o)
		case o.Type == optionAuth:
			n.refusedAuth(nak, parseAuth(o.Data))
		}
	}
}

// refusedAuth goes on with what the peer would do instead, if that is enough.
func (n *lcp) refusedAuth(nak bool, instead Auth) {
	if len(n.demand) == 0 {
		return
	}
	rest := n.demand[1:]
	if at := slices.Index(rest, instead); nak && at >= 0 {
		rest = rest[at:]
	}
	if !nak || len(rest) == 0 {
		n.l.end(AuthRefused, "the peer does not authenticate itself")
		return
	}
	n.demand = rest
}

// looped is RFC 1661 §6.4: who names our own magic number may be ourselves.
func (n *lcp) looped(o Option) {
	if len(o.Data) != 4 || binary.BigEndian.Uint32(o.Data) == n.magic {
		n.loops++
	}
	n.magic = n.l.newMagic()
	if n.loops >= maxLoops {
		n.l.end(Looped, "")
	}
}

func (n *lcp) judge(all []Option, patient bool) (Code, []Option) {
	var unknown, wrong []Option
	mru, magic, auth := uint16(DefaultMRU), uint32(0), NoAuth
	for _, o := range all {
		switch {
		case o.Type == optionMRU && len(o.Data) == 2:
			if mru = binary.BigEndian.Uint16(o.Data); mru < minMRU {
				wrong = append(wrong, Option{optionMRU, binary.BigEndian.AppendUint16(nil, minMRU)})
			}
		case o.Type == optionMagic && len(o.Data) == 4:
			magic = binary.BigEndian.Uint32(o.Data)
			if magic == n.magic && !n.noMagic || magic == 0 {
				wrong = append(wrong, Option{optionMagic, binary.BigEndian.AppendUint32(nil, n.l.newMagic())})
			}
		case o.Type == optionAuth:
			var use Auth
			auth = parseAuth(o.Data)
			if use = n.l.willing(auth); use == NoAuth {
				unknown = append(unknown, o)
			} else if use != auth {
				wrong = append(wrong, Option{optionAuth, use.option()})
			}
		default: // RFC 2516 §7: no compression of fields, no escapes, no other check sequence
			unknown = append(unknown, o)
		}
	}
	n.seen(magic)
	switch {
	case len(unknown) > 0:
		return ConfigureReject, unknown
	case len(wrong) > 0 && patient:
		return ConfigureNak, wrong
	case len(wrong) > 0:
		return ConfigureReject, wrong
	}
	n.peerMRU, n.peerMagic, n.peerAuth = mru, magic, auth
	return ConfigureAck, all
}

// seen counts our own requests that come back.
func (n *lcp) seen(magic uint32) {
	if n.noMagic || magic != n.magic {
		n.loops = 0
		return
	}
	if n.loops++; n.loops >= maxLoops {
		n.l.end(Looped, "")
	}
}

// echo is the data of an echo: the magic number, RFC 1661 §5.8.
func (n *lcp) echo() []byte {
	if n.noMagic {
		return make([]byte, 4)
	}
	return binary.BigEndian.AppendUint32(nil, n.magic)
}
