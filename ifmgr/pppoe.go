package ifmgr

import (
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/fault"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/pppoe"
	"github.com/router6d/router6d/pppoe/ppp"
)

const (
	// encapsulation is what is put in front of a packet: the headers of Ethernet and
	// PPPoE, and PPP's protocol.
	encapsulation = pppoe.HeaderSize + ppp.ProtocolSize
	// tcpOverhead is what an MTU has over an MSS, RFC 9293 §3.7.1.
	tcpOverhead = header.IPv6Size + header.TCPSize
)

// ErrSession is the end of the session of an interface that is as short-lived.
var ErrSession = errors.New("session ended")

// A dialer is a PPPoE session as an interface: a port on top of an Ethernet port,
// and the machine that opens the session.
//
//	worker ──Claim──▶ packets of the session, on as the interface's own
//	   │     └──────▶ mail ──turn──▶ line ──▶ frames to the lower port
//	   └─────Send───▶ cut, clamped, wrapped, to the lower port
//
// Without a session there is no carrier, and nothing is sent.
type dialer struct {
	m        *Manager
	lower    carrier
	renew    bool                          // the interface ends with its session
	session  atomic.Pointer[pppoe.Session] // nil: IPv6 does not flow
	session4 atomic.Pointer[pppoe.Session] // nil: IPv4 does not flow
	filter   atomic.Pointer[pppoe.Filter]  // nil: nothing is ours
	heard    atomic.Bool                   // a packet has come in since the machine was told
	severed  atomic.Bool
	mail     mail

	// Owned by the loop.
	i     *Interface // nil until it is attached
	line  *line
	four  *handover // nil: nobody wants IPv4
	timer *loop.Timer
}

// A line is the machine of a dialer and what it was made of. It outlives the
// interface: how long to wait, and what was, do not end with that.
type line struct {
	client *pppoe.Client
	config config.Interface
	secret string
	noted  pppoe.Stale // on disk
}

// attachPPPoE attaches the session that c describes, if what it is on is there.
func (m *Manager) attachPPPoE(t *loop.Turn, c config.Interface, secret string) (ID, error) {
	id, ok := m.Lookup(t, c.Lower)
	if !ok {
		return 0, fmt.Errorf("interface %s: %s: %w", c.Name, c.Lower, link.ErrNotExist)
	}
	under := m.ifaces[id]
	if _, ok := under.port.(link.Ethernet); !ok {
		return 0, fmt.Errorf("interface %s: %s has no frames: its type is %s", c.Name, under.name, under.kind)
	}
	d := &dialer{m: m, lower: carrier{under}, renew: c.PPPoE.Identity == config.IdentityRenew}
	s := settingsOf(c)
	if s.MTU = min(pppoe.DefaultMTU, under.MTU()-pppoe.Overhead); s.MTU < minMTU {
		return 0, fmt.Errorf("interface %s: %s leaves an MTU of %d, and IPv6 needs %d", c.Name, c.Lower, s.MTU, minMTU)
	}
	id, err := m.Stack(t, id, d, s)
	if err != nil {
		return 0, err
	}
	d.i = m.ifaces[id]
	d.line = m.lineOf(c, secret, d.i)
	d.look(t)
	return id, nil
}

// lineOf is the line that an interface of that name and with those settings had, or
// a new one.
func (m *Manager) lineOf(c config.Interface, secret string, i *Interface) *line {
	if l := m.lines[c.Name]; l != nil && l.secret == secret && l.config.MTU == c.MTU && *l.config.PPPoE == *c.PPPoE && l.config.Lower == c.Lower {
		return l
	}
	var seed [32]byte
	crand.Read(seed[:]) // never fails
	p := c.PPPoE
	l := &line{config: c, secret: secret, noted: m.recalled(c.Name)}
	l.client = pppoe.NewClient(pppoe.Config{
		Service: p.Service, AC: p.AC, User: p.User, Password: secret, MTU: c.MTU,
		IID: iidOf(i.addrs.Load()), Stale: l.noted, Random: rand.New(rand.NewChaCha8(seed)),
	})
	m.lines[c.Name] = l
	return l
}

// iidOf is the second half of the link-local address.
func iidOf(a *Addrs) ppp.IID {
	b := a.linkLocal.As16()
	return ppp.IID(b[8:])
}

// Claim implements link.Upper.
func (d *dialer) Claim(p *link.Packet) link.Claim {
	f, b := d.filter.Load(), p.Bytes()
	if f == nil || len(b) < pppoe.HeaderSize {
		return link.NotOurs
	}
	if (f.Open || f.Open4) && len(b) > encapsulation && f.InSession(b) && flows(f, b) {
		return d.receive(p, int(binary.BigEndian.Uint16(b[18:]))-ppp.ProtocolSize)
	}
	if !f.Concerns(b) {
		return link.NotOurs
	}
	if !d.mail.put(b) {
		return link.Overflow
	}
	d.m.loop.Notify(d.drain)
	return link.Consumed
}

// flows reports whether a frame of the session has a packet of a version that flows,
// which says so itself.
func flows(f *pppoe.Filter, b []byte) bool {
	switch ppp.Protocol(binary.BigEndian.Uint16(b[pppoe.HeaderSize:])) {
	case ppp.ProtoIPv6:
		return f.Open && b[encapsulation]>>4 == 6
	case ppp.ProtoIPv4:
		return f.Open4 && b[encapsulation]>>4 == 4
	}
	return false
}

// receive takes the encapsulation off a packet, and its padding.
func (d *dialer) receive(p *link.Packet, size int) link.Claim {
	if size <= 0 || encapsulation+size > len(p.Bytes()) {
		return link.NotOurs
	}
	if !d.heard.Load() { // most of the time it is set: no need to take the line from others
		d.heard.Store(true)
	}
	p.TrimFront(encapsulation)
	if !p.Offload.Superframe() {
		p.Trim(size)
		d.clamp(p)
	}
	return link.Ours
}

// clamp lets nobody at either end of a TCP connection ask for more than fits. Of IPv4
// a handover sees to it.
func (d *dialer) clamp(p *link.Packet) {
	if b := p.Bytes(); len(b) >= header.IPv6Size && b[0]>>4 == 6 && !p.Offload.PartialChecksum() {
		header.ClampMSS(header.IPv6(b), uint16(d.i.MTU()-tcpOverhead))
	}
}

// Send implements link.Sender. Superframes are cut: no device knows of PPPoE.
func (d *dialer) Send(v *link.Vector) error {
	if d.severed.Load() {
		return link.ErrSevered
	}
	s := d.session.Load()
	if s == nil {
		return link.ErrNoSession
	}
	fault.Hold(d.i.name)
	for i := range v.Len() {
		if v.At(i).Offload.Superframe() {
			return d.sendCut(v, s)
		}
	}
	for i := range v.Len() {
		v.At(i).CompleteChecksum()
		d.clamp(v.At(i))
		d.wrap(v.At(i), s, ppp.ProtoIPv6)
	}
	err := d.lower.Send(v)
	for i := range v.Len() {
		v.At(i).TrimFront(encapsulation) // what was not sent is as it was
	}
	return err
}

// sendCut sends one segment after the other: they are made in place.
func (d *dialer) sendCut(v *link.Vector, s *pppoe.Session) error {
	return v.Cut(func(p *link.Packet) error {
		d.clamp(p)
		d.wrap(p, s, ppp.ProtoIPv6)
		err := d.lower.Send(p.Alone())
		p.TrimFront(encapsulation)
		return err
	})
}

// wrap puts a packet into a frame of the session's.
func (d *dialer) wrap(p *link.Packet, s *pppoe.Session, proto ppp.Protocol) {
	size := len(p.Bytes()) + ppp.ProtocolSize
	b := p.Prepend(encapsulation)
	f := pppoe.Frame{Destination: s.Peer, Source: d.lower.HardwareAddr(), Code: pppoe.SessionData, Session: s.ID}
	pppoe.PutHeader(b, &f, size)
	binary.BigEndian.PutUint16(b[pppoe.HeaderSize:], uint16(proto))
}

// Probe is how the session is.
func (d *dialer) Probe() error {
	if err := d.lower.Probe(); err != nil {
		return err
	}
	if d.session.Load() == nil {
		return link.ErrDown
	}
	return nil
}

// Interrupt implements link.Port. Nobody sleeps here.
func (d *dialer) Interrupt() {}

// Close implements link.Port.
func (d *dialer) Close() error { return nil }

// Sever implements link.Port.
func (d *dialer) Sever() error {
	d.severed.Store(true)
	return nil
}

// look follows the carrier, the address and the MTU of the interface below.
func (d *dialer) look(t *loop.Turn) {
	switch {
	case d.i == nil || d.i.state >= Draining: // not yet, or no more
	case d.lower.Probe() == nil:
		d.step(t, pppoe.Up{MAC: d.lower.HardwareAddr(), MTU: d.lower.MTU()})
	default:
		d.step(t, pppoe.Down{})
	}
}

// drain takes what workers have copied.
func (d *dialer) drain(t *loop.Turn) {
	for _, b := range d.mail.take() {
		if d.i == nil || d.i.state >= Draining {
			return
		}
		d.step(t, pppoe.Received(b))
	}
}

// expire is called when the machine wants to be. What has come in is as good as an
// answer to an echo, and is known before one is missed.
func (d *dialer) expire(t *loop.Turn) {
	if d.heard.Swap(false) {
		d.step(t, pppoe.Heard{})
		return
	}
	d.step(t, nil)
}

// step has the machine take an input, and does what comes of it.
func (d *dialer) step(t *loop.Turn, in pppoe.Input) {
	out := d.line.client.Step(t.Now(), in)
	f := d.line.client.Filter()
	d.filter.Store(&f)
	if out.Shut || out.Ended != nil {
		d.session.Store(nil) // before withdrawing: the gate
	}
	if out.Shut4 || out.Ended != nil {
		d.session4.Store(nil)
	}
	d.transmit(out.Send)
	if s := d.line.client.Remember(); s != d.line.noted {
		d.line.noted = s
		d.m.note(d.i.name, s)
	}
	d.timer.Stop(t)
	if !out.Wake.IsZero() {
		d.timer = t.At(out.Wake, d.expire)
	}
	if out.Opened4 != nil {
		d.session4.Store(out.Opened4)
	}
	if d.four != nil {
		d.four.look(t)
	}
	switch {
	case out.Opened != nil:
		d.opened(t, out.Opened)
	case out.Ended != nil:
		d.ended(t, out.Ended)
	case out.Shut:
		d.m.Carrier(t, d.i.id, false)
	}
}

// transmit sends frames of the machine's. One that is not taken is sent again when
// its time has come.
func (d *dialer) transmit(frames [][]byte) {
	for _, b := range frames {
		batch := link.NewBatch(d.m.arenas)
		batch.Inject(b)
		if err := d.lower.Send(&batch.Vector); err != nil {
			d.m.log.Debug("frame not sent", zap.String("iface", d.lower.name), zap.Error(err))
		}
		batch.End()
	}
}

func (d *dialer) opened(t *loop.Turn, s *pppoe.Session) {
	d.m.SetMTU(t, d.i.id, s.MTU)
	d.renumber(t, s.IID)
	d.session.Store(s)
	d.m.log.Info("session opened", zap.String("iface", d.i.name), zap.Uint64("id", uint64(d.i.id)),
		zap.Uint16("session", s.ID), zap.Stringer("peer", net.HardwareAddr(s.Peer[:])), zap.String("ac", s.AC),
		zap.Int("mtu", s.MTU), zap.Stringer("auth", s.Auth))
	d.m.Carrier(t, d.i.id, true)
}

// renumber gives the interface the link-local address that was agreed upon.
func (d *dialer) renumber(t *loop.Turn, iid ppp.IID) {
	now := d.i.addrs.Load()
	if iidOf(now) == iid {
		return
	}
	own := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: iid[0], 9: iid[1], 10: iid[2], 11: iid[3], 12: iid[4], 13: iid[5], 14: iid[6], 15: iid[7]})
	addresses := []netip.Prefix{netip.PrefixFrom(own, 64)}
	for _, p := range now.prefixes {
		if !isLinkLocal(p) {
			addresses = append(addresses, p)
		}
	}
	d.i.setAddresses(t, addresses)
}

func (d *dialer) ended(t *loop.Turn, e *pppoe.End) {
	var wait time.Duration // zero: until there is carrier
	if next := d.line.client.Info().Next; !next.IsZero() {
		wait = next.Sub(t.Now())
	}
	if e.Opened.IsZero() {
		d.m.log.Warn("session not opened", zap.String("iface", d.i.name), zap.Uint64("id", uint64(d.i.id)),
			zap.String("cause", e.Cause.String()), zap.String("text", e.Text), zap.Duration("next", wait))
		return
	}
	d.m.log.Info("session closed", zap.String("iface", d.i.name), zap.Uint64("id", uint64(d.i.id)),
		zap.Uint16("session", e.Session.ID), zap.String("cause", e.Cause.String()), zap.String("text", e.Text),
		zap.Duration("took", e.Closed.Sub(e.Opened)), zap.Duration("next", wait))
	if d.renew && d.i.state < Draining {
		d.m.Detach(t, d.i.id, fmt.Errorf("%w: %v", ErrSession, e.Cause), nil)
		return
	}
	d.m.Carrier(t, d.i.id, false)
}

// end ends the dialer in the turn that withdraws its interface. The peer is told,
// unless there is nobody to tell it through.
func (d *dialer) end(t *loop.Turn, cause error) {
	d.mail.close()
	switch {
	case d.line == nil || errors.Is(cause, ErrSession):
	case errors.Is(cause, ErrLower) && !d.lower.alive():
		d.step(t, pppoe.Down{})
	default:
		d.step(t, pppoe.Close{})
	}
	d.timer.Stop(t)
	d.session.Store(nil)
	d.session4.Store(nil)
	d.filter.Store(nil)
	if errors.Is(cause, ErrRequested) {
		delete(d.m.lines, d.i.name)
	}
}

// Forget forgets what was of a PPPoE interface that is not there, and is not to come
// again. It reports whether there was something.
func (m *Manager) Forget(_ *loop.Turn, name string) bool {
	_, ok := m.lines[name]
	delete(m.lines, name)
	return ok
}

// A Line is a PPPoE interface, for people: also while it is not there.
type Line struct {
	Name string
	ID   ID // zero while the interface is not there
	pppoe.Info
}

// Lines describes every PPPoE interface, by name.
func (m *Manager) Lines(t *loop.Turn) []Line {
	var all []Line
	for name, l := range m.lines {
		id, _ := m.Lookup(t, name)
		all = append(all, Line{Name: name, ID: id, Info: l.client.Info()})
	}
	slices.SortFunc(all, func(a, b Line) int { return strings.Compare(a.Name, b.Name) })
	return all
}
