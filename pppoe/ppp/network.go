package ppp

import "time"

// retryNetwork is when a network protocol that failed is tried again.
const retryNetwork = 30 * time.Second

// A network is a protocol that makes packets flow: IPV6CP or IPCP. What one of them
// does concerns neither the link nor another.
type network struct {
	*control
	wanted bool
	flows  bool
	retry  time.Time // zero: never
}

// want opens it, if it is not, or closes it.
func (n *network) want(now time.Time, wanted bool) {
	if wanted == n.wanted {
		return
	}
	n.wanted, n.retry = wanted, time.Time{}
	if wanted {
		n.at(now, eventOpen, Control{})
	} else {
		n.at(now, eventClose, Control{})
	}
}

// receive takes a packet of the protocol's, with no more of which a Code-Reject is
// sent than room.
func (n *network) receive(now time.Time, c Control, room int) {
	if !n.control.receive(now, c) {
		n.unknown(now, c, room)
	}
}

// lowered is LCP that negotiates anew.
func (n *network) lowered(now time.Time) {
	n.retry = time.Time{}
	n.at(now, eventDown, Control{})
}

// settle notes whether packets flow, and when to try again what has failed.
func (n *network) settle(now time.Time) {
	if took(&n.down) {
		n.flows = false
	}
	if took(&n.up) {
		n.flows, n.retry = true, time.Time{}
	}
	if took(&n.finished) && n.wanted {
		n.retry = now.Add(retryNetwork)
	}
}

// tryAgain lets it begin anew after it has failed.
func (n *network) tryAgain(now time.Time) {
	if n.retry.IsZero() || now.Before(n.retry) {
		return
	}
	n.retry = time.Time{}
	n.at(now, eventDown, Control{})
	n.at(now, eventUp, Control{})
}
