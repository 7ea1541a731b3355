package bras

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/netlab"
)

// What the dialer sends and looks for, RFC 2516 and RFC 1661.
const (
	discovery = 0x8863
	session   = 0x8864
	vlanTag   = 0x8100

	padi, pado, padr, pads, padt = 0x09, 0x07, 0x19, 0x65, 0xa7

	serviceName, acName, acCookie, maxPayload = 0x0101, 0x0102, 0x0104, 0x0120

	lcp, pap, chap, ipcp, ipv6cp, ipv6 = 0xc021, 0xc023, 0xc223, 0x8021, 0x8057, 0x0057

	optionMRU, optionAuth = 1, 3

	confReq, confAck, termReq, termAck, echoReq, echoReply = 1, 2, 5, 6, 9, 10
)

// patient is long enough for a machine that has much else to do.
const patient = 20 * time.Second

var dialerMAC = []byte{2, 0, 0, 0, 0, 1}

// A frame is a PPPoE frame that came from a server.
type frame struct {
	from     []byte
	code     byte
	id       uint16
	payload  []byte // tags, or from the PPP protocol on
	protocol uint16 // 0 in discovery
	ppp      byte   // PPP code
}

// A dialer is a client of few words: enough to have the server say its own.
type dialer struct {
	t      *testing.T
	ns     *netlab.Namespace
	in     *netlab.Capture
	out    *netlab.Injector
	vlan   uint16
	server []byte
	id     uint16
	wanted map[byte][]byte // the server's LCP options
	echo   byte            // the last one's identifier
}

func newDialer(t *testing.T, ns *netlab.Namespace, link string) *dialer {
	t.Helper()
	d := &dialer{t: t, ns: ns}
	d.open(link)
	return d
}

// open begins to listen, anew after the device was down.
func (d *dialer) open(link string) {
	d.t.Helper()
	in, err := netlab.OpenCapture(d.ns, link, netlab.CaptureConfig{Frames: true, AnyProtocol: true, IgnoreOutgoing: true})
	check(d.t, err)
	d.t.Cleanup(func() { check(d.t, in.Close()) })
	out, err := netlab.OpenInjector(d.ns, link)
	check(d.t, err)
	d.t.Cleanup(func() { check(d.t, out.Close()) })
	d.in, d.out = in, out
}

// discover sends a PADI with tags and returns as many offers as are wanted, or
// those that come within that time.
func (d *dialer) discover(want int, within time.Duration, tags ...[]byte) (offers []frame) {
	d.t.Helper()
	d.send(bytes.Repeat([]byte{0xff}, 6), discovery, padi, 0, bytes.Join(tags, nil))
	for deadline := time.Now().Add(within); len(offers) < want; {
		f, ok := d.read(deadline)
		if !ok {
			break
		}
		if f.code == pado {
			offers = append(offers, f)
		}
	}
	return offers
}

// dial opens a session with whoever offers first, and its LCP.
func (d *dialer) dial(tags ...[]byte) {
	d.t.Helper()
	d.request(tags...)
	d.negotiate()
}

// request goes as far as PADS.
func (d *dialer) request(tags ...[]byte) frame {
	d.t.Helper()
	if len(tags) == 0 {
		tags = [][]byte{tag(serviceName, "")}
	}
	offers := d.discover(1, patient, tags...)
	if len(offers) == 0 {
		d.t.Fatal("no PADO")
	}
	d.server = offers[0].from
	if cookie, ok := find(offers[0].payload, acCookie); ok {
		tags = append(tags, tag(acCookie, cookie))
	}
	d.send(d.server, discovery, padr, 0, bytes.Join(tags, nil))
	f := d.expect("PADS", func(f frame) bool { return f.code == pads })
	d.id = f.id
	return f
}

// negotiate opens LCP.
func (d *dialer) negotiate() {
	d.t.Helper()
	d.wanted = d.agree(lcp, nil)
}

// agree opens a control protocol: it agrees to what the server wants, which it
// returns, and has the server agree to options. It speaks when it is spoken to:
// the server is deaf before that, and begins anew at a request it has had.
func (d *dialer) agree(protocol uint16, ours []byte) (theirs map[byte][]byte) {
	d.t.Helper()
	for acked := false; !acked || theirs == nil; {
		f := d.expect("a control protocol to open", func(f frame) bool { return f.protocol == protocol })
		switch f.ppp {
		case confReq:
			d.ack(f)
			if theirs == nil {
				d.sendPPP(protocol, confReq, 1, ours)
			}
			theirs = options(f.payload)
		case confAck:
			acked = true
		}
	}
	return theirs
}

// ack agrees to a Configure-Request.
func (d *dialer) ack(f frame) {
	d.t.Helper()
	reply := slices.Clone(f.payload)
	reply[2] = confAck
	d.send(d.server, session, 0, d.id, reply)
}

// echoed reports whether an echo request is answered.
func (d *dialer) echoed() bool {
	d.t.Helper()
	return d.echoes(8, patient)
}

// ignored reports whether an echo request has no answer for a second.
func (d *dialer) ignored() bool {
	d.t.Helper()
	return !d.echoes(8, time.Second)
}

// echoes asks for an echo of an LCP packet of that size.
func (d *dialer) echoes(size int, within time.Duration) bool {
	d.t.Helper()
	d.echo++
	d.sendPPP(lcp, echoReq, d.echo, make([]byte, size-4))
	deadline := time.Now().Add(within)
	for {
		f, ok := d.read(deadline)
		if !ok {
			return false
		}
		if f.protocol == lcp && f.ppp == echoReply && f.payload[3] == d.echo && len(f.payload) == 2+size {
			return true
		}
	}
}

// expect waits for a frame.
func (d *dialer) expect(what string, fits func(frame) bool) frame {
	d.t.Helper()
	deadline := time.Now().Add(patient)
	for {
		f, ok := d.read(deadline)
		if !ok {
			d.t.Fatalf("waited in vain for %s", what)
		}
		if fits(f) {
			return f
		}
	}
}

func (d *dialer) sendPPP(protocol uint16, code, id byte, data []byte) {
	d.t.Helper()
	b := binary.BigEndian.AppendUint16(nil, protocol)
	b = append(b, code, id)
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(data)))
	d.send(d.server, session, 0, d.id, append(b, data...))
}

func (d *dialer) send(to []byte, etherType uint16, code byte, id uint16, payload []byte) {
	d.t.Helper()
	b := slices.Concat(to, dialerMAC)
	if d.vlan != 0 {
		b = binary.BigEndian.AppendUint16(b, vlanTag)
		b = binary.BigEndian.AppendUint16(b, d.vlan)
	}
	b = binary.BigEndian.AppendUint16(b, etherType)
	b = append(b, 0x11, code)
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	check(d.t, d.out.Send(binary.BigEndian.Uint16(b[12:]), append(b, payload...)))
}

// read returns the next PPPoE frame until then. An echo request is answered.
func (d *dialer) read(deadline time.Time) (frame, bool) {
	d.t.Helper()
	check(d.t, d.in.SetReadDeadline(deadline))
	for {
		var b [2000]byte
		p, err := d.in.Read(b[:])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return frame{}, false
		}
		check(d.t, err)
		f, ok := parse(b[:p.Len])
		if !ok || p.VLAN != d.vlan {
			continue
		}
		if f.protocol == lcp && f.ppp == echoReq && f.id == d.id {
			d.sendPPP(lcp, echoReply, f.payload[3], make([]byte, 4))
			continue
		}
		return f, true
	}
}

func parse(b []byte) (f frame, ok bool) {
	f.from = b[6:12]
	b = b[12:]
	etherType := binary.BigEndian.Uint16(b)
	if etherType != discovery && etherType != session {
		return f, false
	}
	f.code, f.id = b[3], binary.BigEndian.Uint16(b[4:])
	f.payload = b[8:][:binary.BigEndian.Uint16(b[6:])]
	if etherType == session {
		f.protocol, f.ppp = binary.BigEndian.Uint16(f.payload), f.payload[2]
	}
	return f, true
}

func tag(kind uint16, value string) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}

func find(tags []byte, kind uint16) (string, bool) {
	for len(tags) >= 4 {
		n := 4 + int(binary.BigEndian.Uint16(tags[2:]))
		if binary.BigEndian.Uint16(tags) == kind {
			return string(tags[4:n]), true
		}
		tags = tags[n:]
	}
	return "", false
}

// options reads those of a Configure-Request.
func options(payload []byte) map[byte][]byte {
	all := map[byte][]byte{}
	for b := payload[6:]; len(b) >= 2; b = b[b[1]:] {
		all[b[0]] = b[2:b[1]]
	}
	return all
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
