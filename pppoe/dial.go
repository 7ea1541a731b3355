package pppoe

import (
	"encoding/binary"
	"time"

	"github.com/router6d/router6d/pppoe/ppp"
)

const (
	firstRepeat = 500 * time.Millisecond // of a PADI or PADR that is not answered
	maxTries    = 4                      // within 7.5 s
)

// discover asks who is there.
func (c *Client) discover(now time.Time) {
	binary.BigEndian.PutUint64(c.hostUniq[:], c.cfg.Random.Uint64())
	c.tries = 0
	c.become(now, Discovering)
	c.ask(now)
}

// ask sends what the phase wants answered.
func (c *Client) ask(now time.Time) {
	c.deadline = now.Add(firstRepeat << c.tries)
	c.tries++
	tags := AppendTag(nil, Tag{TagHostUniq, c.hostUniq[:]})
	if c.want() > DefaultMTU {
		tags = AppendTag(tags, Tag{TagMaxPayload, binary.BigEndian.AppendUint16(nil, uint16(c.want()))})
	}
	if c.phase == Discovering {
		tags = AppendTag(tags, Tag{TagServiceName, []byte(c.cfg.Service)})
		c.send(Frame{Destination: Broadcast, Code: PADI, Payload: tags})
		return
	}
	tags = AppendTag(tags, Tag{TagServiceName, []byte(c.offer.service)})
	for _, t := range c.offer.echo {
		tags = AppendTag(tags, t)
	}
	c.send(Frame{Destination: c.offer.peer, Code: PADR, Payload: tags})
}

// want is the largest packet that we could have.
func (c *Client) want() int {
	want := min(maxMTU, c.lowerMTU-Overhead)
	if c.cfg.MTU != 0 {
		want = min(want, c.cfg.MTU)
	}
	return want
}

func (c *Client) repeat(now time.Time) {
	switch {
	case c.tries < maxTries:
		c.ask(now)
	case c.phase == Discovering:
		c.end(now, NoOffer, "")
	default:
		c.end(now, NoSession, "")
	}
}

// offered takes the first offer that is what we want.
func (c *Client) offered(now time.Time, f Frame) {
	tags, ok := ParseTags(f.Payload)
	if !ok || !c.answers(tags) || f.Source[0]&1 != 0 || f.Session != 0 {
		return
	}
	if _, no := refusal(tags); no {
		return // another may be willing
	}
	name, _ := find(tags, TagACName)
	if c.cfg.AC != "" && string(name) != c.cfg.AC || !c.serves(tags) {
		return
	}
	c.offer = offer{peer: f.Source, ac: string(name), service: c.cfg.Service}
	for _, t := range tags {
		if t.Type == TagCookie || t.Type == TagRelayID {
			c.offer.echo = append(c.offer.echo, Tag{t.Type, append([]byte(nil), t.Data...)})
		}
	}
	c.tries = 0
	c.become(now, Requesting)
	c.ask(now)
}

// answers reports whether a frame answers what we have sent.
func (c *Client) answers(tags []Tag) bool {
	uniq, _ := find(tags, TagHostUniq)
	return string(uniq) == string(c.hostUniq[:])
}

// serves reports whether the service that we want is on offer.
func (c *Client) serves(tags []Tag) bool {
	for _, t := range tags {
		if t.Type == TagServiceName && (c.cfg.Service == "" || string(t.Data) == c.cfg.Service) {
			return true
		}
	}
	return false
}

// confirmed begins PPP in the session that is there now.
func (c *Client) confirmed(now time.Time, f Frame) {
	tags, ok := ParseTags(f.Payload)
	if !ok || !c.answers(tags) {
		return
	}
	if text, no := refusal(tags); no || f.Session == 0 {
		c.session.AC = printable([]byte(c.offer.ac))
		c.end(now, Refused, text)
		return
	}
	c.deadline = time.Time{}
	mtu := min(c.want(), max(DefaultMTU, MaxPayload(tags)))
	c.session = Session{
		Stale: Stale{f.Session, f.Source}, MTU: mtu,
		AC: printable([]byte(c.offer.ac)), Service: printable([]byte(c.offer.service)),
	}
	c.become(now, Linking)
	c.link = ppp.New(ppp.Config{
		MRU: mtu, User: c.cfg.User, Password: c.cfg.Password, IID: c.cfg.IID,
		EchoInterval: ppp.DefaultEchoInterval, EchoFailures: ppp.DefaultEchoFailures,
		Random: c.cfg.Random,
	})
	c.link.WantIPv4(now, c.want4)
	c.linked(now, c.link.Begin(now))
}
