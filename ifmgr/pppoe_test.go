package ifmgr_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/pppoe"
	"github.com/router6d/router6d/pppoe/ac"
	"github.com/router6d/router6d/pppoe/ppp"
)

// A provider is our own concentrator at the far end of an interface's wire.
type provider struct {
	t      *testing.T
	r      *lab.Router
	wire   *lab.Port
	ac     *ac.Concentrator
	keeper *ifmgr.Keeper
	seen   []byte   // the last packet that came out of a session
	all    [][]byte // every one
	from   uint16
}

func newProvider(t *testing.T, identity config.Identity) *provider {
	t.Helper()
	return newProviderOf(t, identity, ppp.IPv4{})
}

// newProviderOf is one that gives those addresses as well; zero: none.
func newProviderOf(t *testing.T, identity config.Identity, give ppp.IPv4) *provider {
	t.Helper()
	p := &provider{t: t, r: lab.New(t)}
	p.keeper = ifmgr.NewKeeper(p.r.Interfaces)
	p.wire = p.r.AttachEthernet(lab.Settings("eth0"))
	p.ac = ac.New(ac.Config{
		MAC: pppoe.MAC{2, 0, 0, 0, 0, 9}, Name: "bras1", MTU: 1492, Demand: []ppp.Auth{ppp.MSCHAPv2},
		Users: map[string]string{"alice": "secret"}, Random: rand.New(rand.NewChaCha8([32]byte{1})), IPv4: give,
	})
	p.add(identity)
	return p
}

func (p *provider) add(identity config.Identity) {
	p.t.Helper()
	c := config.Interface{
		Name: "wan", Type: config.TypePPPoE, Mode: config.ModeAttach, Lower: "eth0",
		PPPoE: &config.PPPoE{User: "alice", Password: "secret", Identity: identity},
	}
	if _, err := p.r.Interfaces.Add(p.t.Context(), c); err != nil {
		p.t.Fatal(err)
	}
}

// serve lets the concentrator do what it has to do.
func (p *provider) serve() {
	for b := p.wire.Take(); b != nil; b = p.wire.Take() {
		p.answer(p.ac.Receive(time.Now(), b))
	}
	p.answer(p.ac.Expire(time.Now()))
}

func (p *provider) answer(out ac.Output) {
	for _, b := range out.Send {
		p.wire.Send(b)
	}
	if out.Packet != nil {
		p.seen, p.from = bytes.Clone(out.Packet), out.Session
		p.all = append(p.all, p.seen)
	}
}

// until serves until it has happened.
func (p *provider) until(what string, happened func() bool) {
	p.t.Helper()
	p.r.Until(what, func() bool { p.serve(); return happened() })
}

func (p *provider) wan() (id ifmgr.ID, up bool, mtu int) {
	p.r.Turn(func(t *loop.Turn) {
		id, _ = p.r.Interfaces.Lookup(t, "wan")
		if i := p.r.Interfaces.Find(t, id); i != nil {
			mtu = i.MTU()
		}
		for _, in := range p.r.Interfaces.All(t) {
			up = up || in.ID == id && in.State == ifmgr.Up
		}
	})
	return id, up, mtu
}

func (p *provider) open() {
	p.t.Helper()
	p.until("open", func() bool { _, up, _ := p.wan(); return up && len(p.ac.Sessions()) == 1 }) // at both ends
}

// TestPPPoEForwards takes packets both ways, with the MSS clamped, and a packet that
// is too big refused.
func TestPPPoEForwards(t *testing.T) {
	p := newProvider(t, config.IdentityKeep)
	lan := p.r.Attach("lan", "2001:db8:1::1/64")
	p.r.Route("::/0", lab.Dev("wan"))
	p.open()
	if _, _, mtu := p.wan(); mtu != 1492 {
		t.Errorf("mtu = %d, want 1492", mtu)
	}
	syn := synOf("2001:db8:1::2", "2001:db8:9::9", 1440)
	lan.Send(syn)
	p.until("a packet at the provider", func() bool { return p.seen != nil })
	if got := header.IPv6(p.seen); got.Destination().String() != "2001:db8:9::9" || mssOf(got) != 1432 || !lab.ChecksumRight(got) {
		t.Errorf("came out: %x, MSS %d, want 1432 and a good checksum", got, mssOf(got))
	}
	back := synOf("2001:db8:9::9", "2001:db8:1::2", 1440)
	p.wire.Send(p.ac.Encapsulate(p.from, back))
	if got := header.IPv6(lan.Expect()); mssOf(got) != 1432 || !lab.ChecksumRight(got) {
		t.Errorf("came in: MSS %d, want 1432 and a good checksum", mssOf(got))
	}
}

// TestPPPoEMTU has every byte of a superframe pass, in packets that fit through the
// session, and what can't be cut answered with the session's MTU.
func TestPPPoEMTU(t *testing.T) {
	p := newProvider(t, config.IdentityKeep)
	lan := p.r.Attach("lan", "2001:db8:1::1/64")
	p.r.Route("::/0", lab.Dev("wan"))
	p.open()
	payload := make([]byte, 10_000)
	for i := range payload {
		payload[i] = byte(i * i >> 8)
	}
	lan.SendFrame(lab.Superframe(lab.TCP("2001:db8:1::2", "2001:db8:9::9", 1000, 80, header.FlagACK, payload), 1432))
	p.until("seven packets at the provider", func() bool { return len(p.all) == 7 })
	var got []byte
	for i, b := range p.all {
		if len(b) > 1492 || !lab.ChecksumRight(b) {
			t.Errorf("packet %d: %d bytes, checksum right: %v", i, len(b), lab.ChecksumRight(b))
		}
		got = append(got, b[header.IPv6Size+header.TCPSize:]...)
	}
	if !bytes.Equal(got, payload) {
		t.Error("it is not what was sent")
	}
	lan.Send(lab.UDP("2001:db8:1::2", "2001:db8:9::9", 1, 2, make([]byte, 1493-48)))
	if b := lan.Expect(); b[40] != 2 || int(b[46])<<8|int(b[47]) != 1492 {
		t.Errorf("answered by %x, want Packet Too Big with 1492", b)
	}
}

// TestPPPoEDoesNotAllocate takes packets and superframes out, and packets in.
func TestPPPoEDoesNotAllocate(t *testing.T) {
	port := ifmgr.NewIdleSession(pppoe.Session{MTU: 1492})
	near, _ := link.NewPipe("near", "nobody")
	batch := link.NewBatch(link.NewPool(1))
	for name, frame := range map[string][]byte{
		"packet":     lab.PartialChecksum(lab.TCP("2001:db8:1::2", "2001:db8:9::9", 1, 2, header.FlagACK, nil)),
		"superframe": lab.Superframe(lab.TCP("2001:db8:1::2", "2001:db8:9::9", 1, 2, header.FlagACK, make([]byte, 10_000)), 1432),
	} {
		t.Run(name, func(t *testing.T) {
			step := func() {
				near.OfferFrame(frame)
				_ = near.Recv(batch)
				if err := port.Send(&batch.Vector); err != nil || batch.Len() != 0 {
					t.Errorf("send: %v, %d left", err, batch.Len())
				}
				batch.End()
			}
			step()
			if n := testing.AllocsPerRun(100, step); n != 0 {
				t.Errorf("allocations = %v, want 0", n)
			}
		})
	}
}

// TestPPPoEIdentity ends the session: the interface stays, or is another.
func TestPPPoEIdentity(t *testing.T) {
	for _, identity := range []config.Identity{config.IdentityKeep, config.IdentityRenew} {
		t.Run(string(identity), func(t *testing.T) {
			p := newProvider(t, identity)
			p.open()
			id, _, _ := p.wan()
			for _, s := range p.ac.Sessions() {
				p.answer(p.ac.HangUp(s))
			}
			p.until("down", func() bool { _, up, _ := p.wan(); return !up })
			if identity == config.IdentityRenew {
				p.until("the end of the interface", func() bool { now, _, _ := p.wan(); return now == 0 })
				p.add(identity)
			}
			p.open()
			if now, _, _ := p.wan(); (now == id) != (identity == config.IdentityKeep) {
				t.Errorf("id %d became %d", id, now)
			}
		})
	}
}

// TestPPPoEStaleSession starts where a router died: what it had is ended.
func TestPPPoEStaleSession(t *testing.T) {
	dir := t.TempDir()
	note := filepath.Join(dir, "wan")
	if err := os.WriteFile(note, []byte(`{"session":77,"peer":"02:00:00:00:00:09"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, r: lab.New(t)}
	p.r.Turn(func(*loop.Turn) { p.r.Interfaces.Recall(dir) })
	p.wire = p.r.AttachEthernet(lab.Settings("eth0"))
	p.add(config.IdentityKeep)
	for {
		if f, ok := pppoe.ParseFrame(p.wire.Expect()); ok {
			if f.Code != pppoe.PADT || f.Session != 77 || f.Destination != (pppoe.MAC{2, 0, 0, 0, 0, 9}) {
				t.Errorf("first frame = %+v, want a PADT of session 77", f)
			}
			return
		}
	}
}

// TestPPPoESendWithoutSession drops for a reason.
func TestPPPoESendWithoutSession(t *testing.T) {
	var reached atomic.Bool
	p := newProvider(t, config.IdentityKeep)
	lan := p.r.Attach("lan", "2001:db8:1::1/64")
	p.r.Route("::/0", lab.Dev("wan"))
	p.open()
	p.r.Turn(func(t *loop.Turn) {
		// As in the moment between the end of a session and the withdrawal.
		reached.Store(p.r.Interfaces.EndSession(t, "wan"))
	})
	lan.Send(synOf("2001:db8:1::2", "2001:db8:9::9", 1440))
	p.r.Until("the drop", func() bool { return p.r.Stats().Dropped[dataplane.NoSession] == 1 })
	if !reached.Load() {
		t.Error("there was no session to end")
	}
}

// synOf is a TCP SYN that asks for segments of mss bytes.
func synOf(src, dst string, mss uint16) []byte {
	options := []byte{1, 1, 1, 2, 4, byte(mss >> 8), byte(mss), 1} // the value is at an odd offset
	pkt := lab.TCP(src, dst, 1000, 80, header.FlagSYN, options)
	tcp := header.TCP(pkt[header.IPv6Size:])
	tcp[12] = byte(len(tcp)/4) << 4
	tcp.SetChecksum(0)
	ip := header.IPv6(pkt)
	tcp.SetChecksum(lab.Checksum(*ip.SourceBytes(), *ip.DestinationBytes(), header.ProtoTCP, tcp))
	return pkt
}

func mssOf(pkt header.IPv6) int { return int(pkt[65])<<8 | int(pkt[66]) }
