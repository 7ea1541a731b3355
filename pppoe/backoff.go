package pppoe

import (
	"time"

	"github.com/router6d/router6d/pppoe/ppp"
)

// Cause is why a session ended, or did not come about.
type Cause uint8

// The causes.
const (
	NoCause     Cause = iota
	NoOffer           // nobody answered a PADI
	NoSession         // nobody answered a PADR
	Refused           // the access concentrator said no
	PeerClosed        // by PADT, or by LCP's Terminate-Request
	EchoLost          // the peer went silent
	LinkFailed        // PPP found no agreement
	AuthFailed        // user or password is wrong
	CarrierLost       // the interface below is down
	Stopped           // by our side

	causes
)

// String is the cause in words.
func (c Cause) String() string {
	return [causes]string{
		"none", "no answer to PADI", "no answer to PADR", "refused", "closed by the peer", "no echo reply",
		"PPP failed", "authentication failed", "carrier lost below", "stopped",
	}[c]
}

// Causes lists every cause.
func Causes() []Cause {
	all := make([]Cause, 0, causes-1)
	for c := NoCause + 1; c < causes; c++ {
		all = append(all, c)
	}
	return all
}

// causeOf is why a link ended, for who dials.
func causeOf(c ppp.Cause) Cause {
	switch c {
	case ppp.Terminated:
		return PeerClosed
	case ppp.EchoLost:
		return EchoLost
	case ppp.AuthFailed:
		return AuthFailed
	case ppp.Requested:
		return Stopped
	default:
		return LinkFailed
	}
}

// A pace is how soon a next try comes, when one failed: after least, then after
// twice as long each time, up to most.
type pace struct{ least, most time.Duration }

// paces are gentle where haste makes things worse: some providers lock out for a
// quarter of an hour who comes too often.
var paces = [causes]pace{
	NoOffer:     {time.Second, 30 * time.Second},
	NoSession:   {time.Second, 30 * time.Second},
	Refused:     {5 * time.Second, 5 * time.Minute},
	PeerClosed:  {time.Second, time.Minute},
	EchoLost:    {time.Second, time.Minute},
	LinkFailed:  {2 * time.Second, 2 * time.Minute},
	AuthFailed:  {10 * time.Second, 15 * time.Minute},
	CarrierLost: {},
	Stopped:     {},
}

const (
	// settled is how long a session lasts that was none of a row of failures: the
	// next try after it is a first one.
	settled = 5 * time.Second
	// firstJitter is what the first try after a drop waits at most: a thousand hosts
	// lost their sessions in the same moment.
	firstJitter = 500 * time.Millisecond
)

// delay is how long the next try waits. failures have been in a row before this
// one.
func (c *Client) delay(cause Cause, failures int) time.Duration {
	p := paces[cause]
	if p == (pace{}) {
		return 0
	}
	if failures == 0 && (cause == PeerClosed || cause == EchoLost) {
		return c.random(firstJitter)
	}
	d := p.least
	for range failures {
		if d = 2 * d; d >= p.most {
			d = p.most
			break
		}
	}
	return d*3/4 + c.random(d/2)
}

// random is a time between nothing and most.
func (c *Client) random(most time.Duration) time.Duration {
	return time.Duration(c.cfg.Random.Int64N(int64(most) + 1))
}
