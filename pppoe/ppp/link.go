package ppp

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// DefaultEchoInterval is how long nothing may be heard before an echo is asked for.
	DefaultEchoInterval = 5 * time.Second
	// DefaultEchoFailures is how many of them may stay without answer.
	DefaultEchoFailures = 4
)

// Config is what one end wants of a link. Borrowed.
type Config struct {
	MRU            int // bytes, 1280 to 65535: what we take
	User, Password string
	IID            IID  // ours, if the peer has not the same; not zero
	IPv4           IPv4 // of a concentrator: its own address, and what the peer gets

	// Demand is what the peer has to prove itself with, the best first, and Secret is
	// its password. None: the peer is who it is.
	Demand []Auth
	Secret func(user string) (password string, known bool)
	Name   string // of the end that asks for the proof

	EchoInterval time.Duration
	EchoFailures int
	Random       *rand.Rand // of a source that can't be foretold
}

// Cause is why a link ended.
type Cause uint8

// The causes.
const (
	NoCause     Cause = iota
	NoAnswer          // LCP got none
	Terminated        // by the peer
	Requested         // by our side
	EchoLost          // the peer went silent
	Looped            // the line ends where it begins
	AuthFailed        // the user or the password is wrong
	AuthRefused       // there is no agreement how to authenticate
	AuthTimeout       // neither yes nor no
	Rejected          // the peer does not speak LCP

	causes
)

// String is the cause in words.
func (c Cause) String() string {
	return [causes]string{
		"none", "no answer to LCP", "terminated by the peer", "requested", "no echo reply", "loop on the line",
		"authentication failed", "no agreement on authentication", "no answer to authentication", "LCP rejected by the peer",
	}[c]
}

// Phase is how far a link is, RFC 1661 §3.2.
type Phase uint8

// The phases.
const (
	Dead Phase = iota
	Establish
	Authenticate
	Network
	Open // IPv6 flows

	phases
)

// String is the phase's name.
func (p Phase) String() string {
	return [phases]string{"dead", "establish", "authenticate", "network", "open"}[p]
}

// Output is what comes of a step.
type Output struct {
	Send  [][]byte  // PPP packets, from the protocol's number on
	Wake  time.Time // when Step wants to be called without an input; zero: never
	Ended Cause     // set once; nothing comes afterwards
	Text  string    // what the peer said to it
}

// A Link is one end of a PPP link: LCP, the proof of who is there, IPV6CP and, if it
// is wanted, IPCP. It has no goroutine, clock or socket. What network protocols do
// never ends the link.
type Link struct {
	cfg       Config
	lcp       lcp
	line      *control // LCP
	v6        ipv6cp
	v4        *ipcp
	six, four network // IPV6CP and IPCP
	prover    auth    // we prove ourselves
	judge     auth    // the peer does
	phase     Phase
	echoAt    time.Time // the next echo; zero: LCP is not open
	echoes    int       // without an answer
	echoID    uint8
	rejectID  uint8
	ended     bool
	out       Output
	auth      Auth // that was used
	noEcho    bool // the peer does not know it
	peerTerms bool // the peer terminates
}

// New returns a link on which nothing was said.
func New(cfg Config) *Link {
	l := &Link{cfg: cfg}
	l.lcp = lcp{l: l, mru: uint16(cfg.MRU), demand: cfg.Demand, peerMRU: DefaultMRU, magic: l.newMagic()}
	l.v6 = ipv6cp{l: l, own: cfg.IID}
	l.line = &control{proto: ProtoLCP, negotiator: &l.lcp, transmit: l.transmit}
	l.v4 = newIPCP(cfg.IPv4)
	l.six.control = &control{proto: ProtoIPV6CP, negotiator: &l.v6, transmit: l.transmit}
	l.four.control = &control{proto: ProtoIPCP, negotiator: l.v4, transmit: l.transmit}
	l.prover = auth{l: l, done: true}
	l.judge = auth{l: l, done: true}
	return l
}

// Begin says that there is a line.
func (l *Link) Begin(now time.Time) Output {
	l.phase = Establish
	l.six.want(now, true)
	l.line.at(now, eventOpen, Control{})
	l.line.at(now, eventUp, Control{})
	return l.result()
}

// WantIPv4 says whether IPv4 is to flow as well. It is not, at first, and what the
// peer says of it is rejected.
func (l *Link) WantIPv4(now time.Time, wanted bool) Output {
	if !l.ended {
		l.four.want(now, wanted)
		l.settle(now)
	}
	return l.result()
}

// Receive takes a packet, from its protocol's number on. Borrows.
func (l *Link) Receive(now time.Time, b []byte) Output {
	if !l.ended {
		l.Heard(now)
		l.receive(now, b)
	}
	return l.result()
}

// Heard says that something came from the peer: who sends is there.
func (l *Link) Heard(now time.Time) {
	l.echoes = 0
	if !l.echoAt.IsZero() {
		l.echoAt = now.Add(l.cfg.EchoInterval)
	}
}

// Expire is to be called when Wake has come.
func (l *Link) Expire(now time.Time) Output {
	if !l.ended {
		l.line.expire(now)
		l.settle(now)
		l.prover.expire(now)
		l.judge.expire(now)
		for _, n := range l.networks() {
			n.expire(now)
		}
		l.settle(now)
		l.echo(now)
		for _, n := range l.networks() {
			n.tryAgain(now)
		}
	}
	return l.result()
}

// Close ends the link. The peer is told once.
func (l *Link) Close(now time.Time) Output {
	if !l.ended {
		l.line.at(now, eventClose, Control{})
		l.end(Requested, "")
	}
	return l.result()
}

// Phase is how far the link is.
func (l *Link) Phase() Phase { return l.phase }

// MTU is the largest packet in bytes that the peer takes.
func (l *Link) MTU() int { return int(l.lcp.peerMRU) }

// IIDs are the interface identifiers of both ends, once the phase is Open. The
// peer's is zero if it has not said.
func (l *Link) IIDs() (own, peer IID) { return l.v6.own, l.v6.peer }

// IPv4 is the addresses of both ends; ok is false while no IPv4 flows.
func (l *Link) IPv4() (got IPv4, ok bool) {
	if !l.four.flows {
		return got, false
	}
	return l.v4.agreed()
}

func (l *Link) networks() [2]*network { return [2]*network{&l.six, &l.four} }

// Auth is what was asked of us, or by us.
func (l *Link) Auth() Auth { return l.auth }

func (l *Link) receive(now time.Time, b []byte) {
	if len(b) < ProtocolSize {
		return
	}
	p := Protocol(binary.BigEndian.Uint16(b))
	c, ok := ParseControl(b[ProtocolSize:])
	switch {
	case p == ProtoLCP:
		if ok {
			l.receiveLCP(now, c)
		}
	case p == ProtoPAP, p == ProtoCHAP:
		if ok && l.phase >= Authenticate {
			l.prover.prove(now, p, c)
			l.judge.convince(now, p, c)
		}
	case p == ProtoIPV6CP:
		if ok && l.phase >= Network {
			l.six.receive(now, c, l.MTU())
		}
	case p == ProtoIPCP && (l.four.wanted || l.four.waits()):
		if ok && l.phase >= Network {
			l.four.receive(now, c, l.MTU())
		}
	case p == ProtoIPv6, p == ProtoIPv4 && l.four.wanted: // before it was agreed upon, or it would not be here
	default:
		l.rejectProtocol(b)
	}
	l.settle(now)
}

// rejectProtocol is RFC 1661 §5.7.
func (l *Link) rejectProtocol(b []byte) {
	if l.line.state != Opened {
		return
	}
	l.rejectID++
	l.transmit(ProtoLCP, Control{ProtocolReject, l.rejectID, b[:min(len(b), l.MTU()-controlHeader)]})
}

func (l *Link) receiveLCP(now time.Time, c Control) {
	switch c.Code {
	case ProtocolReject:
		l.protocolRejected(now, c)
	case EchoRequest:
		l.echoRequested(now, c)
	case EchoReply, DiscardRequest:
	default:
		l.peerTerms = l.peerTerms || c.Code == TerminateRequest && l.line.state >= ReqSent
		if c.Code == CodeReject && len(c.Data) > 0 && Code(c.Data[0]) == EchoRequest {
			l.noEcho = true
		}
		if !l.line.receive(now, c) {
			l.line.unknown(now, c, l.MTU())
		}
	}
}

// protocolRejected ends what the peer does not speak, and nothing else.
func (l *Link) protocolRejected(now time.Time, c Control) {
	if l.line.state != Opened || len(c.Data) < ProtocolSize {
		return
	}
	switch Protocol(binary.BigEndian.Uint16(c.Data)) {
	case ProtoLCP:
		l.line.at(now, eventFatalReject, c)
		l.end(Rejected, "")
	case ProtoIPV6CP:
		l.six.at(now, eventFatalReject, c)
	case ProtoIPCP:
		l.four.at(now, eventFatalReject, c)
	case ProtoPAP, ProtoCHAP:
		l.end(AuthRefused, "")
	}
}

func (l *Link) echoRequested(now time.Time, c Control) {
	if len(c.Data) < 4 {
		return
	}
	if magic := binary.BigEndian.Uint32(c.Data); magic == l.lcp.magic && !l.lcp.noMagic && magic != 0 {
		if l.lcp.loops++; l.lcp.loops >= maxLoops {
			l.end(Looped, "")
		}
		return
	}
	data := append(l.lcp.echo(), c.Data[4:]...)
	l.line.at(now, eventEcho, Control{EchoReply, c.ID, data[:min(len(data), l.MTU()-controlHeader)]})
}

// settle draws the conclusions: what goes up lets the next begin.
func (l *Link) settle(now time.Time) {
	if l.ended {
		return
	}
	if took(&l.line.down) {
		l.lowered(now)
	}
	if took(&l.line.up) {
		l.established(now)
	}
	switch {
	case l.peerTerms:
		l.end(Terminated, "")
		return
	case took(&l.line.finished):
		l.end(NoAnswer, "")
		return
	}
	for _, n := range l.networks() {
		n.settle(now)
	}
	switch {
	case l.six.flows:
		l.phase = Open
	case l.phase == Open:
		l.phase = Network
	}
}

// lowered is LCP that negotiates anew: all above it does, too.
func (l *Link) lowered(now time.Time) {
	l.phase, l.echoAt = Establish, time.Time{}
	l.prover.done, l.judge.done = true, true
	for _, n := range l.networks() {
		n.lowered(now)
	}
}

// established is LCP agreed upon: each end proves who it is.
func (l *Link) established(now time.Time) {
	l.phase, l.echoes = Authenticate, 0
	l.echoAt = now.Add(l.cfg.EchoInterval)
	demanded := NoAuth
	if len(l.lcp.demand) > 0 {
		demanded = l.lcp.demand[0]
	}
	l.auth = max(l.lcp.peerAuth, demanded)
	l.prover.begin(now, l.lcp.peerAuth, false)
	l.judge.begin(now, demanded, true)
	l.proved(now)
}

// proved begins the network protocols, once both ends are satisfied.
func (l *Link) proved(now time.Time) {
	if l.phase == Authenticate && l.prover.done && l.judge.done {
		l.phase = Network
		for _, n := range l.networks() {
			n.at(now, eventUp, Control{})
		}
	}
}

// echo asks whether the peer is there, if nothing was heard of it.
func (l *Link) echo(now time.Time) {
	if l.echoAt.IsZero() || now.Before(l.echoAt) || l.noEcho || l.ended {
		return
	}
	if l.echoes == l.cfg.EchoFailures {
		l.end(EchoLost, "")
		return
	}
	l.echoes++
	l.echoID++
	l.transmit(ProtoLCP, Control{EchoRequest, l.echoID, l.lcp.echo()})
	l.echoAt = now.Add(l.cfg.EchoInterval)
}

// willing is how we would prove ourselves to someone who asks for a way: that, or
// another, or NoAuth.
func (l *Link) willing(asked Auth) Auth {
	switch {
	case l.cfg.User == "":
		return NoAuth
	case asked != NoAuth:
		return asked
	}
	return CHAPMD5
}

func (l *Link) end(c Cause, text string) {
	if !l.ended {
		l.ended, l.phase = true, Dead
		l.out.Ended, l.out.Text = c, text
	}
}

func (l *Link) transmit(p Protocol, c Control) {
	l.out.Send = append(l.out.Send, AppendControl(nil, p, c))
}

// result hands out what was collected.
func (l *Link) result() Output {
	out := l.out
	l.out = Output{}
	if !l.ended {
		out.Wake = earliest(l.line.deadline, l.six.deadline, l.four.deadline, l.prover.wake(), l.judge.wake(), l.six.retry, l.four.retry, l.nextEcho())
	}
	return out
}

func (l *Link) nextEcho() time.Time {
	if l.noEcho {
		return time.Time{}
	}
	return l.echoAt
}

// earliest is the first of those that are set.
func earliest(all ...time.Time) (first time.Time) {
	all = slices.DeleteFunc(all, time.Time.IsZero)
	if len(all) == 0 {
		return first
	}
	return slices.MinFunc(all, time.Time.Compare)
}

func (l *Link) newMagic() uint32 { return l.cfg.Random.Uint32() | 1 } // never zero

func (l *Link) newIID() (iid IID) {
	for isZero(iid[:]) {
		l.fill(iid[:])
	}
	return iid
}

func (l *Link) fill(b []byte) {
	for i := range b {
		b[i] = byte(l.cfg.Random.Uint32())
	}
}
