package ppp

import (
	"bytes"
	"time"
)

// Of the restart timer, RFC 1661 §4.6. A server starts a process for each session,
// which is deaf for its first half second: what is asked of it is asked again soon,
// and less and less often.
const (
	firstRestart = 100 * time.Millisecond
	lastRestart  = 3 * time.Second
	maxConfigure = 15 // requests
	maxTerminate = 2
	maxFailure   = 5 // Configure-Naks before what is still not agreed is rejected
)

// A negotiator is what one protocol has to agree upon.
type negotiator interface {
	// request is the options of the next Configure-Request.
	request() []Option
	// refused takes what the peer would have instead (nak), or does not know at all.
	refused(nak bool, all []Option)
	// judge answers the peer's request: with Configure-Ack it is agreed, and all is
	// taken over. Once patience has gone it rejects instead of suggesting.
	judge(all []Option, patient bool) (Code, []Option)
}

// A control is one protocol that negotiates: the automaton, its counters and its
// timer. What it says of itself is read after each step.
type control struct {
	proto Protocol
	negotiator
	transmit func(Protocol, Control)

	state    State
	id       uint8  // of the last request that was sent
	asked    []byte // its options; nil before the first
	answered bool   // it was: what comes now is an echo of that
	restarts int    // left
	interval time.Duration
	deadline time.Time // zero unless an answer is waited for
	naks     int       // sent without agreement

	up, down, finished bool // since they were last looked at
}

// at takes an event. reply is what a packet that caused it is answered with.
func (c *control) at(now time.Time, e event, reply Control) {
	x := table[e][c.state]
	c.state = x.next
	for bit := range actions {
		if do := action(1 << bit); x.do&do != 0 {
			c.act(now, do, reply)
		}
	}
	switch {
	case !c.waits():
		c.deadline = time.Time{}
	case c.deadline.IsZero() || x.do&(irc|zrc) != 0 && x.do&(scr|str) == 0:
		c.deadline = now.Add(c.interval)
	}
}

// waits reports whether the restart timer runs, RFC 1661 §4.1.
func (c *control) waits() bool { return c.state >= Closing && c.state < Opened }

func (c *control) act(now time.Time, do action, reply Control) {
	switch do {
	case tld:
		c.down = true
		c.restarts, c.interval = maxConfigure, firstRestart // what follows begins anew
	case irc:
		c.restarts, c.interval, c.naks = maxConfigure, firstRestart, 0
		if c.state == Closing || c.state == Stopping {
			c.restarts = maxTerminate
		}
	case zrc:
		c.restarts, c.interval = 0, lastRestart
	case scr:
		c.ask()
		c.again(now)
	case str:
		c.id++
		c.transmit(c.proto, Control{Code: TerminateRequest, ID: c.id})
		c.again(now)
	case sca, scn, scj, ser:
		c.transmit(c.proto, reply)
	case sta:
		c.transmit(c.proto, Control{Code: TerminateAck, ID: reply.ID})
	case tlu:
		c.up = true
	case tlf:
		c.finished = true
	}
}

// ask sends a Configure-Request. One that is sent again keeps its number (RFC 1661
// §5.1), so that on a long line the answer to the first of them is as good as any.
func (c *control) ask() {
	options := appendOptions([]byte{}, c.request())
	if c.asked == nil || c.answered || !bytes.Equal(options, c.asked) {
		c.id++
	}
	c.asked, c.answered = options, false
	c.transmit(c.proto, Control{ConfigureRequest, c.id, c.asked})
}

// again waits for the answer to what was sent just now, and next time for longer.
func (c *control) again(now time.Time) {
	c.restarts--
	c.deadline = now.Add(c.interval)
	c.interval = min(2*c.interval, lastRestart)
}

// expire is called when the deadline may have passed.
func (c *control) expire(now time.Time) {
	switch {
	case c.deadline.IsZero() || now.Before(c.deadline):
	case c.restarts > 0:
		c.at(now, eventTimeout, Control{})
	default:
		c.at(now, eventExpire, Control{})
	}
}

// receive takes a packet of the codes that all protocols have; false is another.
func (c *control) receive(now time.Time, p Control) bool {
	switch p.Code {
	case ConfigureRequest:
		c.requested(now, p)
	case ConfigureAck:
		if bytes.Equal(p.Data, c.asked) && c.answers(p) {
			c.at(now, eventAck, p)
		}
	case ConfigureNak, ConfigureReject:
		if all, ok := parseOptions(p.Data); ok && c.answers(p) {
			c.refused(p.Code == ConfigureNak, all)
			c.at(now, eventNak, p)
		}
	case TerminateRequest:
		c.at(now, eventTerminate, p)
	case TerminateAck:
		c.at(now, eventTerminateAck, p)
	case CodeReject:
		c.codeRejected(now, p)
	default:
		return false
	}
	return true
}

// answers reports whether a packet is the first answer to the last request.
func (c *control) answers(p Control) bool {
	if c.asked == nil || c.answered || p.ID != c.id {
		return false
	}
	c.answered = true
	return true
}

// requested judges a Configure-Request, in the states in which that matters.
func (c *control) requested(now time.Time, p Control) {
	all, ok := parseOptions(p.Data)
	if !ok {
		return
	}
	if c.state < Stopped || c.state == Closing || c.state == Stopping {
		c.at(now, eventGoodRequest, p) // nothing is negotiated: the answer does not depend on it
		return
	}
	code, answer := c.judge(all, c.naks < maxFailure)
	if code == ConfigureAck {
		c.naks = 0
		c.at(now, eventGoodRequest, Control{ConfigureAck, p.ID, p.Data})
		c.hurry(now)
		return
	}
	c.naks++
	c.at(now, eventBadRequest, Control{code, p.ID, appendOptions(nil, answer)})
}

// hurry asks again soon: who talks listens by now, and may have missed what was
// asked before.
func (c *control) hurry(now time.Time) {
	if soon := now.Add(firstRestart); c.waits() && soon.Before(c.deadline) {
		c.deadline = soon
	}
}

// codeRejected is RFC 1661 §5.6: who does not know how to negotiate can't.
func (c *control) codeRejected(now time.Time, p Control) {
	if len(p.Data) == 0 {
		return
	}
	if code := Code(p.Data[0]); code >= ConfigureRequest && code <= CodeReject {
		c.at(now, eventFatalReject, p)
		return
	}
	c.at(now, eventHarmlessReject, p)
}

// unknown answers a code that the protocol has not got, with no more of the packet
// than the peer takes.
func (c *control) unknown(now time.Time, p Control, room int) {
	c.id++
	whole := AppendControl(nil, c.proto, p)[ProtocolSize:]
	c.at(now, eventUnknown, Control{CodeReject, c.id, whole[:min(len(whole), room-controlHeader)]})
}

// took reads a note and clears it.
func took(note *bool) bool {
	was := *note
	*note = false
	return was
}
