package pppoe

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/router6d/router6d/pppoe/ppp"
)

const (
	// DefaultMTU is what every access concentrator grants, RFC 2516 §7.
	DefaultMTU = 1492
	maxMTU     = 1500 // RFC 4638; more is nobody's wish
)

// Config is whom to call, and as whom. Borrowed.
type Config struct {
	Service  string // empty: any
	AC       string // name of the access concentrator; empty: any
	User     string // empty: nothing is proved
	Password string
	MTU      int     // the largest to ask for; zero: as large as the interface below lets it be
	IID      ppp.IID // of our link-local address, if the peer has not the same; not zero
	// Stale is a session that may still be there, of a host that died; zero: none.
	Stale  Stale
	Random *rand.Rand // of a source that can't be foretold
}

// A Stale is a session that is remembered beyond the life of its host.
type Stale struct {
	ID   uint16
	Peer MAC
}

// Phase is how far a client is.
type Phase uint8

// The phases.
const (
	Idle        Phase = iota // there is no carrier below
	Waiting                  // for the next try
	Discovering              // a PADI was sent
	Requesting               // a PADR was sent
	Linking                  // there is a session, and PPP negotiates; IPv4 may flow
	Open                     // IPv6 flows

	phases
)

// String is the phase's name.
func (p Phase) String() string {
	return [phases]string{"idle", "waiting", "discovering", "requesting", "linking", "open"}[p]
}

// Phases lists every phase.
func Phases() []Phase { return []Phase{Idle, Waiting, Discovering, Requesting, Linking, Open} }

// A Session is what was agreed upon. It never changes.
type Session struct {
	Stale
	AC      string // its name
	Service string
	MTU     int // bytes of a packet
	Auth    ppp.Auth
	IID     ppp.IID // ours
	PeerIID ppp.IID
	IPv4    ppp.IPv4 // zero while no IPv4 flows
}

// An End is a session that was, or an attempt at one.
type End struct {
	Session Session
	Opened  time.Time // zero if nothing ever flowed
	Closed  time.Time
	Cause   Cause
	Text    string // what the peer said, or more about the cause
}

// Input is what happens to a client: Up, Down, Received, Heard, WantIPv4 or Close;
// nil: Wake has come.
type Input interface{ input() }

// Up is carrier of the interface below, which has an address and takes packets of
// MTU bytes.
type (
	Up struct {
		MAC MAC
		MTU int
	}
	// Down is the loss of it.
	Down struct{}
	// Received is a frame that Filter is for, from the Ethernet header on. Borrowed.
	Received []byte
	// Heard is packets that came through the session.
	Heard struct{}
	// WantIPv4 says whether IPv4 is to flow as well, from now on; at first it is not.
	WantIPv4 bool
	// Close ends the session: the peer is told. Up begins anew.
	Close struct{}
)

func (Up) input()       {}
func (Down) input()     {}
func (Received) input() {}
func (Heard) input()    {}
func (WantIPv4) input() {}
func (Close) input()    {}

// Output is what comes of a step.
type Output struct {
	Send   [][]byte  // frames
	Wake   time.Time // when Step wants to be called without an input; zero: never
	Opened *Session  // IPv6 flows from now on
	Shut   bool      // it does no longer, and the session is still there
	Ended  *End      // the session is not; or an attempt at it failed

	// Opened4 and Shut4 are the same of IPv4, with its addresses in the session.
	Opened4 *Session
	Shut4   bool
}

// A Client is one host's side of one session after the other. It has no goroutine,
// clock or socket.
type Client struct {
	cfg      Config
	phase    Phase
	since    time.Time // of the phase
	mac      MAC
	lowerMTU int
	deadline time.Time // of Waiting, Discovering and Requesting; of Idle, not before which
	hostUniq [8]byte
	tries    int // of the frame that was sent last
	failures int // in a row
	offer    offer
	link     *ppp.Link // of Linking and Open
	linkWake time.Time
	session  Session
	want4    bool
	opened   time.Time // zero unless anything flowed in this session
	stale    Stale     // to be ended; zero: none
	history  []End     // the newest last
	stats    Stats
	out      Output
}

// An offer is what was said in a PADO and is said again in the PADR.
type offer struct {
	peer        MAC
	ac, service string
	echo        []Tag // cookie and relay id
}

// Stats counts what a client has done.
type Stats struct {
	Opened uint64         // sessions in which anything flowed
	Ended  [causes]uint64 // sessions and attempts, by cause
}

// keep is how many ends are remembered.
const keep = 32

// NewClient returns a client that waits for carrier.
func NewClient(cfg Config) *Client { return &Client{cfg: cfg, stale: cfg.Stale} }

// Step takes an input, and says what comes of it.
func (c *Client) Step(now time.Time, in Input) Output {
	switch in := in.(type) {
	case Up:
		c.up(now, in)
	case Down:
		c.down(now)
	case Received:
		c.receive(now, in)
	case Heard:
		if c.link != nil {
			c.link.Heard(now)
			c.linkWake = earlier(c.linkWake, now) // asks when it wants to be called now
		}
	case WantIPv4:
		c.wantIPv4(now, bool(in))
	case Close:
		c.close(now)
	case nil:
	}
	c.expire(now)
	out := c.out
	c.out = Output{}
	if c.phase != Idle {
		out.Wake = earlier(c.deadline, c.linkWake)
	}
	return out
}

func (c *Client) up(now time.Time, in Up) {
	if c.phase != Idle && (c.mac != in.MAC || c.lowerMTU != in.MTU) {
		c.end(now, CarrierLost, "the interface below has changed")
		c.become(now, Idle)
	}
	if c.phase != Idle {
		return
	}
	c.mac, c.lowerMTU = in.MAC, in.MTU
	if c.stale != (Stale{}) {
		c.send(Frame{Destination: c.stale.Peer, Code: PADT, Session: c.stale.ID})
		c.stale = Stale{}
	}
	c.become(now, Waiting)
	if c.deadline.IsZero() {
		c.deadline = now
	}
}

// down ends all that was under way. How long to wait for the next try is kept: an
// interface that flaps is no reason to hammer.
func (c *Client) down(now time.Time) {
	switch {
	case c.phase == Idle:
		return
	case c.link != nil:
		c.stale = c.session.Stale // the peer has not heard of it
		c.end(now, CarrierLost, "")
	case c.phase != Waiting:
		c.deadline = time.Time{}
	}
	c.become(now, Idle)
}

// wantIPv4 holds for this session and those to come.
func (c *Client) wantIPv4(now time.Time, want bool) {
	c.want4 = want
	if c.link != nil {
		c.linked(now, c.link.WantIPv4(now, want))
	}
}

func (c *Client) close(now time.Time) {
	if c.link != nil {
		c.take(c.link.Close(now))
		c.linkWake = time.Time{}
		c.hangUp()
		c.end(now, Stopped, "")
	}
	c.deadline = time.Time{}
	c.become(now, Idle)
}

func (c *Client) become(now time.Time, p Phase) { c.phase, c.since = p, now }

// expire does what is due.
func (c *Client) expire(now time.Time) {
	if c.link != nil && !c.linkWake.IsZero() && !now.Before(c.linkWake) {
		c.linked(now, c.link.Expire(now))
	}
	if c.deadline.IsZero() || now.Before(c.deadline) {
		return
	}
	switch c.phase {
	case Waiting:
		c.discover(now)
	case Discovering, Requesting:
		c.repeat(now)
	case Idle:
	case Linking, Open:
		c.deadline = time.Time{}
	}
}

// linked is what comes of a step of the link.
func (c *Client) linked(now time.Time, out ppp.Output) {
	c.take(out)
	if out.Ended != ppp.NoCause {
		c.hangUp()
		text := printable([]byte(out.Text))
		if causeOf(out.Ended) == LinkFailed {
			text = out.Ended.String() + said([]byte(out.Text))
		}
		c.end(now, causeOf(out.Ended), text)
		return
	}
	c.linked4(now)
	flows := c.link.Phase() == ppp.Open
	switch {
	case flows && c.phase == Linking:
		c.open(now)
	case !flows && c.phase == Open:
		c.become(now, Linking)
		c.out.Shut = true
	}
}

// linked4 follows IPv4, which flows or not whatever becomes of IPv6.
func (c *Client) linked4(now time.Time) {
	got, flows := c.link.IPv4()
	switch {
	case flows && got != c.session.IPv4:
		c.flow(now)
		c.session.IPv4 = got
		s := c.session
		c.out.Opened4, c.out.Shut4 = &s, false
	case !flows && c.session.IPv4 != ppp.IPv4{}:
		c.session.IPv4 = ppp.IPv4{}
		c.out.Opened4, c.out.Shut4 = nil, true
	}
}

// take sends what the link sends.
func (c *Client) take(out ppp.Output) {
	for _, b := range out.Send {
		c.send(Frame{Destination: c.session.Peer, Code: SessionData, Session: c.session.ID, Payload: b})
	}
	c.linkWake = out.Wake
}

func (c *Client) open(now time.Time) {
	c.become(now, Open)
	c.flow(now)
	c.session.IID, c.session.PeerIID = c.link.IIDs()
	s := c.session
	c.out.Opened = &s
}

// flow is the first packet of a protocol, which may come.
func (c *Client) flow(now time.Time) {
	if c.opened.IsZero() {
		c.opened = now
		c.stats.Opened++
	}
	c.session.MTU = min(c.session.MTU, c.link.MTU())
	c.session.Auth = c.link.Auth()
}

// hangUp tells the peer.
func (c *Client) hangUp() {
	c.send(Frame{Destination: c.session.Peer, Code: PADT, Session: c.session.ID})
}

// end ends the session, or the attempt at it, and sets the time of the next.
func (c *Client) end(now time.Time, cause Cause, text string) {
	if !c.opened.IsZero() && now.Sub(c.opened) >= settled {
		c.failures = 0
	}
	c.deadline = now.Add(c.delay(cause, c.failures))
	if paces[cause] != (pace{}) {
		c.failures++
	}
	e := End{Session: c.session, Opened: c.opened, Closed: now, Cause: cause, Text: text}
	c.note(e)
	c.out.Ended, c.out.Opened, c.out.Shut, c.out.Opened4, c.out.Shut4 = &e, nil, false, nil, false
	c.link, c.linkWake, c.session, c.opened = nil, time.Time{}, Session{}, time.Time{}
	c.become(now, Waiting)
}

// note remembers an end. Of attempts that fail the same way again and again the
// last is enough.
func (c *Client) note(e End) {
	c.stats.Ended[e.Cause]++
	if n := len(c.history); n > 0 && e.Opened.IsZero() && c.history[n-1].Opened.IsZero() && c.history[n-1].Cause == e.Cause {
		c.history[n-1] = e
		return
	}
	if len(c.history) == keep {
		c.history = append(c.history[:0], c.history[1:]...)
	}
	c.history = append(c.history, e)
}

// send sends a frame from our address.
func (c *Client) send(f Frame) {
	f.Source = c.mac
	c.out.Send = append(c.out.Send, AppendFrame(nil, f))
}

// receive takes a frame of the session's, or an answer to what was asked.
func (c *Client) receive(now time.Time, b []byte) {
	f, ok := ParseFrame(b)
	if !ok || c.phase == Idle || f.Destination != c.mac {
		return
	}
	switch {
	case f.Code == PADO && c.phase == Discovering:
		c.offered(now, f)
	case f.Code == PADS && c.phase == Requesting && f.Source == c.offer.peer:
		c.confirmed(now, f)
	case c.link == nil || f.Source != c.session.Peer || f.Session != c.session.ID:
	case f.Code == PADT: // of this session and of this peer
		tags, _ := ParseTags(f.Payload)
		text, _ := refusal(tags)
		c.end(now, PeerClosed, join("PADT", text))
	case f.Code == SessionData:
		c.linked(now, c.link.Receive(now, f.Payload))
	}
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + ": " + b
}

// Info is a client at a moment.
type Info struct {
	Phase   Phase
	Since   time.Time
	Next    time.Time // of Waiting: when the next try comes
	Session Session   // of Linking and Open
	Opened  time.Time // when anything flowed first in this session; zero: not yet
	History []End     // the newest last
	Stats   Stats
}

// Info describes the client.
func (c *Client) Info() Info {
	in := Info{Phase: c.phase, Since: c.since, Session: c.session, Opened: c.opened, History: append([]End(nil), c.history...), Stats: c.stats}
	if c.phase == Waiting {
		in.Next = c.deadline
	}
	return in
}

// Remember is the session that is there now, or that is to be ended when there is
// carrier; zero: none.
func (c *Client) Remember() Stale {
	if c.link != nil {
		return c.session.Stale
	}
	return c.stale
}

// A Filter is what of an Ethernet link is a client's, until its next step. It never
// changes, and others may look at it.
type Filter struct {
	mac      MAC
	hostUniq [8]byte
	session  Stale // zero: none
	Open     bool  // IPv6 flows
	Open4    bool  // IPv4 flows
}

// Filter is what is the client's now.
func (c *Client) Filter() Filter {
	f := Filter{mac: c.mac, hostUniq: c.hostUniq, Open: c.phase == Open, Open4: c.session.IPv4 != ppp.IPv4{}}
	if c.link != nil {
		f.session = c.session.Stale
	}
	return f
}

// InSession reports whether a frame of at least HeaderSize bytes is of the client's
// session: of its number and of its peer.
func (f *Filter) InSession(b []byte) bool {
	return binary.BigEndian.Uint16(b[etherTypeAt:]) == typSession && b[etherHeader] == versionType && b[15] == byte(SessionData) &&
		binary.BigEndian.Uint16(b[16:]) == f.session.ID && f.session.ID != 0 && MAC(b[6:]) == f.session.Peer && MAC(b) == f.mac
}

// Concerns reports whether the client wants to see a frame that is no packet of its
// session.
func (f *Filter) Concerns(b []byte) bool {
	x, ok := ParseFrame(b)
	if !ok || x.Destination != f.mac {
		return false
	}
	if x.Code == SessionData || x.Code == PADT {
		return x.Session == f.session.ID && x.Session != 0 && x.Source == f.session.Peer
	}
	tags, _ := ParseTags(x.Payload)
	uniq, _ := find(tags, TagHostUniq)
	return string(uniq) == string(f.hostUniq[:]) && (x.Code == PADO || x.Code == PADS)
}

// earlier is the first of two times of which either may be unset.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
