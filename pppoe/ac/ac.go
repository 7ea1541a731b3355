package ac

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/router6d/router6d/pppoe"
	"github.com/router6d/router6d/pppoe/ppp"
)

// Config is whom a concentrator serves. Borrowed.
type Config struct {
	MAC      pppoe.MAC
	Name     string
	Services []string // that are on offer; none: any, and each by the name it is asked for
	MTU      int      // the largest packet, in bytes; over 1492 only for those who can
	Demand   []ppp.Auth
	Users    map[string]string // passwords, by name
	IPv4     ppp.IPv4          // what each session has; zero: IPv4 is rejected
	Most     int               // sessions; zero: 65535
	Random   *rand.Rand        // of a source that can't be foretold
}

// A Concentrator is the server's side of many sessions.
type Concentrator struct {
	cfg      Config
	key      [32]byte // of cookies
	last     uint16
	sessions map[uint16]*session
}

type session struct {
	peer pppoe.MAC
	link *ppp.Link
	wake time.Time
}

// Output is what comes of a step.
type Output struct {
	Send [][]byte  // frames
	Wake time.Time // when Expire wants to be called; zero: never
	// Packet is the packet that was in the frame, IPv6 or IPv4, and Session where it
	// came from. A part of the frame.
	Packet  []byte
	Session uint16
}

// New returns a concentrator without sessions.
func New(cfg Config) *Concentrator {
	c := &Concentrator{cfg: cfg, sessions: map[uint16]*session{}}
	for i := range c.key {
		c.key[i] = byte(cfg.Random.Uint32())
	}
	return c
}

// Receive takes a frame. Borrows.
func (c *Concentrator) Receive(now time.Time, b []byte) (out Output) {
	f, ok := pppoe.ParseFrame(b)
	if ok && (f.Destination == c.cfg.MAC || f.Destination == pppoe.Broadcast && f.Code == pppoe.PADI) {
		switch f.Code {
		case pppoe.PADI:
			c.offer(f, &out)
		case pppoe.PADR:
			c.confirm(now, f, &out)
		case pppoe.PADT:
			if c.find(f) != nil {
				delete(c.sessions, f.Session)
			}
		case pppoe.SessionData:
			c.data(now, f, &out)
		case pppoe.PADO, pppoe.PADS:
		}
	}
	c.expire(now, &out)
	return out
}

// Expire does what is due.
func (c *Concentrator) Expire(now time.Time) (out Output) {
	c.expire(now, &out)
	return out
}

// Terminate ends a session by LCP.
func (c *Concentrator) Terminate(now time.Time, id uint16) (out Output) {
	if s := c.sessions[id]; s != nil {
		c.linked(id, s, s.link.Close(now), &out)
	}
	return out
}

// HangUp ends a session by a PADT alone.
func (c *Concentrator) HangUp(id uint16) (out Output) {
	if s := c.sessions[id]; s != nil {
		c.end(id, s, &out)
	}
	return out
}

// Forget loses all sessions, as after a power cut.
func (c *Concentrator) Forget() { clear(c.sessions) }

// Sessions is the numbers of the sessions through which IPv6 flows.
func (c *Concentrator) Sessions() []uint16 { return c.carrying(ppp.ProtoIPv6) }

// Sessions4 is the numbers of the sessions through which IPv4 flows.
func (c *Concentrator) Sessions4() []uint16 { return c.carrying(ppp.ProtoIPv4) }

func (c *Concentrator) carrying(p ppp.Protocol) (ids []uint16) {
	for _, id := range slices.Sorted(maps.Keys(c.sessions)) {
		if c.sessions[id].carries(p) {
			ids = append(ids, id)
		}
	}
	return ids
}

// carries reports whether packets of a protocol flow.
func (s *session) carries(p ppp.Protocol) bool {
	switch p {
	case ppp.ProtoIPv6:
		return s.link.Phase() == ppp.Open
	case ppp.ProtoIPv4:
		_, flows := s.link.IPv4()
		return flows
	}
	return false
}

// Encapsulate is an IP packet in a frame of a session's; nil if none of its version
// flow there.
func (c *Concentrator) Encapsulate(id uint16, packet []byte) []byte {
	s, p := c.sessions[id], ppp.ProtoIPv6
	if packet[0]>>4 == 4 {
		p = ppp.ProtoIPv4
	}
	if s == nil || !s.carries(p) {
		return nil
	}
	return c.frame(s.peer, pppoe.SessionData, id, append(binary.BigEndian.AppendUint16(nil, uint16(p)), packet...))
}

func (c *Concentrator) frame(to pppoe.MAC, code pppoe.Code, id uint16, payload []byte) []byte {
	return pppoe.AppendFrame(nil, pppoe.Frame{Destination: to, Source: c.cfg.MAC, Code: code, Session: id, Payload: payload})
}

// find is the session that a frame is of; nil if it is of none, or of another peer.
func (c *Concentrator) find(f pppoe.Frame) *session {
	if s := c.sessions[f.Session]; s != nil && s.peer == f.Source {
		return s
	}
	return nil
}

// offer answers a PADI. Nothing is remembered of it: the cookie is a proof that who
// comes back with it is where he says, RFC 2516 §5.
func (c *Concentrator) offer(f pppoe.Frame, out *Output) {
	tags, ok := pppoe.ParseTags(f.Payload)
	service, asked := tag(tags, pppoe.TagServiceName)
	if !ok || !asked || !c.serves(string(service)) {
		return
	}
	answer := pppoe.AppendTag(nil, pppoe.Tag{Type: pppoe.TagACName, Data: []byte(c.cfg.Name)})
	answer = pppoe.AppendTag(answer, pppoe.Tag{Type: pppoe.TagServiceName, Data: service})
	for _, s := range c.cfg.Services {
		if s != string(service) {
			answer = pppoe.AppendTag(answer, pppoe.Tag{Type: pppoe.TagServiceName, Data: []byte(s)})
		}
	}
	answer = pppoe.AppendTag(answer, pppoe.Tag{Type: pppoe.TagCookie, Data: c.cookie(f.Source)})
	answer = c.echo(answer, tags)
	out.Send = append(out.Send, c.frame(f.Source, pppoe.PADO, 0, answer))
}

func (c *Concentrator) serves(service string) bool {
	return len(c.cfg.Services) == 0 || service == "" || slices.Contains(c.cfg.Services, service)
}

func (c *Concentrator) cookie(peer pppoe.MAC) []byte {
	h := hmac.New(sha256.New, c.key[:])
	h.Write(peer[:])
	return h.Sum(nil)[:16]
}

// echo appends what goes back as it came, and how large packets may be.
func (c *Concentrator) echo(answer []byte, tags []pppoe.Tag) []byte {
	for _, t := range tags {
		if t.Type == pppoe.TagHostUniq || t.Type == pppoe.TagRelayID {
			answer = pppoe.AppendTag(answer, t)
		}
	}
	if most := pppoe.MaxPayload(tags); most > pppoe.DefaultMTU && c.cfg.MTU > pppoe.DefaultMTU {
		answer = pppoe.AppendTag(answer, pppoe.Tag{Type: pppoe.TagMaxPayload, Data: binary.BigEndian.AppendUint16(nil, uint16(min(most, c.cfg.MTU)))})
	}
	return answer
}

// confirm answers a PADR, and begins a session.
func (c *Concentrator) confirm(now time.Time, f pppoe.Frame, out *Output) {
	tags, ok := pppoe.ParseTags(f.Payload)
	cookie, _ := tag(tags, pppoe.TagCookie)
	service, asked := tag(tags, pppoe.TagServiceName)
	if !ok || !asked || !hmac.Equal(cookie, c.cookie(f.Source)) {
		return
	}
	answer := c.echo(pppoe.AppendTag(nil, pppoe.Tag{Type: pppoe.TagServiceName, Data: service}), tags)
	id := c.free()
	switch {
	case !c.serves(string(service)):
		answer = pppoe.AppendTag(answer, pppoe.Tag{Type: pppoe.TagNameError})
		id = 0
	case id == 0:
		answer = pppoe.AppendTag(answer, pppoe.Tag{Type: pppoe.TagSystemError, Data: []byte("no more sessions")})
	}
	out.Send = append(out.Send, c.frame(f.Source, pppoe.PADS, id, answer))
	if id != 0 {
		c.begin(now, id, f.Source, max(pppoe.DefaultMTU, pppoe.MaxPayload(tags)), out)
	}
}

// free is a number for a session; zero if there is none.
func (c *Concentrator) free() uint16 {
	most := c.cfg.Most
	if most == 0 {
		most = 65535
	}
	if len(c.sessions) >= most {
		return 0
	}
	for c.last++; c.last == 0 || c.sessions[c.last] != nil; c.last++ {
	}
	return c.last
}

func (c *Concentrator) begin(now time.Time, id uint16, peer pppoe.MAC, most int, out *Output) {
	cfg := ppp.Config{
		MRU: min(most, c.cfg.MTU), Demand: c.cfg.Demand, Name: c.cfg.Name,
		Secret:       func(user string) (string, bool) { p, ok := c.cfg.Users[user]; return p, ok },
		EchoInterval: ppp.DefaultEchoInterval, EchoFailures: ppp.DefaultEchoFailures,
		Random: c.cfg.Random, IPv4: c.cfg.IPv4,
	}
	binary.BigEndian.PutUint64(cfg.IID[:], c.cfg.Random.Uint64()|1)
	s := &session{peer: peer, link: ppp.New(cfg)}
	c.sessions[id] = s
	s.link.WantIPv4(now, c.cfg.IPv4 != ppp.IPv4{})
	c.linked(id, s, s.link.Begin(now), out)
}

func (c *Concentrator) data(now time.Time, f pppoe.Frame, out *Output) {
	s := c.find(f)
	if s == nil {
		return
	}
	if len(f.Payload) > ppp.ProtocolSize && s.carries(ppp.Protocol(binary.BigEndian.Uint16(f.Payload))) {
		s.link.Heard(now)
		out.Packet, out.Session = f.Payload[ppp.ProtocolSize:], f.Session
		return
	}
	c.linked(f.Session, s, s.link.Receive(now, f.Payload), out)
}

// linked is what comes of a step of a link.
func (c *Concentrator) linked(id uint16, s *session, step ppp.Output, out *Output) {
	for _, b := range step.Send {
		out.Send = append(out.Send, c.frame(s.peer, pppoe.SessionData, id, b))
	}
	s.wake = step.Wake
	if step.Ended != ppp.NoCause {
		c.end(id, s, out)
	}
}

func (c *Concentrator) end(id uint16, s *session, out *Output) {
	delete(c.sessions, id)
	out.Send = append(out.Send, c.frame(s.peer, pppoe.PADT, id, nil))
}

func (c *Concentrator) expire(now time.Time, out *Output) {
	for _, id := range slices.Sorted(maps.Keys(c.sessions)) {
		s := c.sessions[id]
		if !s.wake.IsZero() && !now.Before(s.wake) {
			c.linked(id, s, s.link.Expire(now), out)
		}
		if w := s.wake; c.sessions[id] != nil && !w.IsZero() && (out.Wake.IsZero() || w.Before(out.Wake)) {
			out.Wake = w
		}
	}
}

// tag is the data of the first tag of a type.
func tag(tags []pppoe.Tag, typ pppoe.TagType) (data []byte, ok bool) {
	at := slices.IndexFunc(tags, func(t pppoe.Tag) bool { return t.Type == typ })
	if at < 0 {
		return nil, false
	}
	return tags[at].Data, true
}
