package pppoe_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/router6d/router6d/pppoe"
	"github.com/router6d/router6d/pppoe/ac"
	"github.com/router6d/router6d/pppoe/ppp"
)

var rewrite = flag.Bool("rewrite", false, "write what the stories tell now")

func random(seed byte) *rand.Rand { return rand.New(rand.NewChaCha8([32]byte{seed})) }

var (
	hostMAC = pppoe.MAC{2, 0, 0, 0, 0, 1}
	acMAC   = pppoe.MAC{2, 0, 0, 0, 0, 2}
)

// A wire is a host, a concentrator, the time, and what they say to each other.
type wire struct {
	now     time.Time
	began   time.Time
	client  *pppoe.Client
	ac      *ac.Concentrator
	wakes   [2]time.Time
	down    bool // nothing passes
	trace   *strings.Builder
	session *pppoe.Session // nil: IPv6 does not flow
	padis   []time.Time
}

func config() pppoe.Config {
	return pppoe.Config{User: "alice", Password: "secret", IID: ppp.IID{7: 1}, Random: random(1)}
}

func acConfig() ac.Config {
	return ac.Config{
		MAC: acMAC, Name: "bras1", MTU: 1492, Demand: []ppp.Auth{ppp.CHAPMD5},
		Users: map[string]string{"alice": "secret"}, Random: random(2),
	}
}

func newWire(c pppoe.Config, a ac.Config) *wire {
	now := time.Unix(1000, 0)
	return &wire{now: now, began: now, client: pppoe.NewClient(c), ac: ac.New(a), trace: &strings.Builder{}}
}

func (w *wire) step(in pppoe.Input) { w.took(w.client.Step(w.now, in)) }

// took lets what the client sends arrive, and what comes back.
func (w *wire) took(out pppoe.Output) {
	w.wakes[0] = out.Wake
	w.tell(out)
	for _, b := range out.Send {
		w.sent("host", b)
		if !w.down {
			w.answered(w.ac.Receive(w.now, b))
		}
	}
}

func (w *wire) answered(out ac.Output) {
	w.wakes[1] = out.Wake
	for _, b := range out.Send {
		w.sent("ac", b)
		if f := w.client.Filter(); !w.down && (f.Concerns(b) || f.InSession(b)) {
			w.step(pppoe.Received(b))
		}
	}
}

func (w *wire) tell(out pppoe.Output) {
	if out.Opened != nil {
		w.session = out.Opened
		w.log("opened: session %#04x, mtu %d, %v", out.Opened.ID, out.Opened.MTU, out.Opened.Auth)
	}
	if out.Shut {
		w.session = nil
		w.log("shut")
	}
	if out.Opened4 != nil {
		w.log("IPv4 opened: %v to %v, DNS %v", out.Opened4.IPv4.Own, out.Opened4.IPv4.Peer, out.Opened4.IPv4.DNS[0])
	}
	if out.Shut4 {
		w.log("IPv4 shut")
	}
	if out.Ended != nil {
		w.session = nil
		next := "when there is carrier"
		if in := w.client.Info(); !in.Next.IsZero() {
			next = "in " + in.Next.Sub(w.now).Round(100*time.Millisecond).String()
		}
		w.log("ended: %v (%s); next try %s", out.Ended.Cause, out.Ended.Text, next)
	}
}

func (w *wire) sent(who string, b []byte) {
	f, ok := pppoe.ParseFrame(b)
	if !ok {
		w.log("%s sends what is no PPPoE", who)
		return
	}
	if f.Code == pppoe.PADI {
		w.padis = append(w.padis, w.now)
	}
	if f.Code == pppoe.SessionData {
		p := ppp.Protocol(f.Payload[0])<<8 | ppp.Protocol(f.Payload[1])
		w.log("%s: %v code %d", who, p, f.Payload[2])
		return
	}
	name := map[pppoe.Code]string{pppoe.PADI: "PADI", pppoe.PADO: "PADO", pppoe.PADR: "PADR", pppoe.PADS: "PADS", pppoe.PADT: "PADT"}[f.Code]
	w.log("%s: %s session=%#04x", who, name, f.Session)
}

func (w *wire) log(format string, args ...any) {
	fmt.Fprintf(w.trace, "%-8v", w.now.Sub(w.began).Round(time.Millisecond))
	fmt.Fprintf(w.trace, format+"\n", args...)
}

func (w *wire) run(d time.Duration) {
	for until := w.now.Add(d); ; {
		who := -1
		for i, at := range w.wakes {
			if !at.IsZero() && !at.After(until) && (who < 0 || at.Before(w.wakes[who])) {
				who = i
			}
		}
		if who < 0 {
			w.now = until
			return
		}
		w.now = w.wakes[who]
		if who == 0 {
			w.step(nil)
		} else {
			w.answered(w.ac.Expire(w.now))
		}
	}
}

func up(mtu int) pppoe.Up { return pppoe.Up{MAC: hostMAC, MTU: mtu} }

// TestStories plays what testdata says, and compares what is told of it.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, want, _ := strings.Cut(string(text), "----\n")
			got := play(t, script)
			if *rewrite {
				if err := os.WriteFile(file, []byte(script+"----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("told:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// play takes one command a line; what begins with # explains.
func play(t *testing.T, script string) string {
	t.Helper()
	c, a := config(), acConfig()
	var w *wire
	for _, line := range strings.Split(script, "\n") {
		args := strings.Fields(line)
		if len(args) == 0 || args[0] == "#" {
			continue
		}
		switch args[0] {
		case "password":
			c.Password = args[1]
		case "service":
			c.Service = args[1]
		case "ac-services":
			a.Services = args[1:]
		case "ac-name":
			c.AC = args[1]
		case "ac-most":
			a.Most = 1
		case "ac-mtu":
			a.MTU = 1500
		case "ac-ipv4":
			a.IPv4 = ppp.IPv4{
				Own: netip.MustParseAddr("100.64.0.1"), Peer: netip.MustParseAddr("100.64.0.9"),
				DNS: [2]netip.Addr{netip.MustParseAddr("100.64.0.53")},
			}
		case "stale":
			c.Stale = pppoe.Stale{ID: 0x11, Peer: acMAC}
		default:
			if w == nil {
				w = newWire(c, a)
			}
			w.command(t, args)
		}
	}
	return w.trace.String()
}

func (w *wire) command(t *testing.T, args []string) {
	t.Helper()
	id := w.client.Info().Session.ID
	switch args[0] {
	case "up":
		mtu := 1500
		if len(args) > 1 {
			mtu = 1508
		}
		w.step(up(mtu))
	case "down":
		w.step(pppoe.Down{})
	case "close":
		w.step(pppoe.Close{})
	case "ipv4":
		w.step(pppoe.WantIPv4(true))
	case "no-ipv4":
		w.step(pppoe.WantIPv4(false))
	case "wait":
		d, err := time.ParseDuration(args[1])
		if err != nil {
			t.Fatal(err)
		}
		w.run(d)
	case "ac-terminates":
		w.answered(w.ac.Terminate(w.now, id))
	case "ac-hangs-up":
		w.answered(w.ac.HangUp(id))
	case "ac-forgets":
		w.ac.Forget()
	case "silence":
		w.down = true
	case "line-back":
		w.down = false
	case "padt-of-another-session":
		w.answered(ac.Output{Send: [][]byte{frame(acMAC, pppoe.PADT, id+1)}})
	case "padt-of-another-peer":
		w.answered(ac.Output{Send: [][]byte{frame(pppoe.MAC{2, 9, 9, 9, 9, 9}, pppoe.PADT, id)}})
	default:
		t.Fatalf("no command %q", args[0])
	}
}

func frame(from pppoe.MAC, code pppoe.Code, id uint16) []byte {
	return pppoe.AppendFrame(nil, pppoe.Frame{Destination: hostMAC, Source: from, Code: code, Session: id})
}

// TestThousandDrops ends a session in each way it can, again and again. Each time
// another is there, without help, and the first PADI after a drop that was seen
// comes within a second.
func TestThousandDrops(t *testing.T) {
	w := newWire(config(), acConfig())
	w.step(up(1500))
	w.run(time.Second)
	for i := range 1000 {
		if w.session == nil {
			t.Fatalf("drop %d: not open: %v", i, w.client.Info().Phase)
		}
		w.run(settled())
		id := w.session.ID
		w.padis = nil
		dropped := w.now
		switch i % 5 {
		case 0:
			w.answered(w.ac.Terminate(w.now, id))
		case 1:
			w.answered(w.ac.HangUp(id))
		case 2:
			w.ac.Forget()
			w.run(time.Minute)
		case 3:
			w.down = true
			w.run(20 * time.Second)
			w.down = false
			w.run(time.Minute)
		case 4:
			w.step(pppoe.Down{})
			w.run(time.Second)
			w.step(up(1500))
			dropped = w.now
		}
		if i%5 < 2 || i%5 == 4 {
			w.run(2 * time.Second)
			if len(w.padis) == 0 || w.padis[0].Sub(dropped) > time.Second {
				t.Fatalf("drop %d: first PADI at %v, want within a second", i, w.padis)
			}
		}
		if w.session == nil || w.session.ID == id {
			t.Fatalf("drop %d: session %v, phase %v, want another", i, w.session, w.client.Info().Phase)
		}
		w.trace.Reset()
	}
	if n := len(w.ac.Sessions()); n != 1 {
		t.Errorf("sessions = %d, want 1", n)
	}
}

// settled is longer than a session must last that was none of a row of failures.
func settled() time.Duration { return 10 * time.Second }

// TestNeverHammers counts what is sent in a day to who is not there, or refuses.
func TestNeverHammers(t *testing.T) {
	wrong := config()
	wrong.Password = "wrong"
	for name, w := range map[string]*wire{"nobody": newWire(config(), acConfig()), "wrong password": newWire(wrong, acConfig())} {
		w.down = name == "nobody"
		w.step(up(1500))
		w.run(24 * time.Hour)
		n := len(w.padis)
		if most := 10_000; n > most || n < 90 {
			t.Errorf("%s: %d PADIs in a day, want at most %d, and not to give up", name, n, most)
		}
	}
}

// TestOthersSessionsAreNotOurs has a client hear everything that is said to others.
func TestOthersSessionsAreNotOurs(t *testing.T) {
	w := newWire(config(), acConfig())
	w.step(up(1500))
	w.run(time.Second)
	id := w.session.ID
	f := w.client.Filter()
	data := func(from pppoe.MAC, id uint16) []byte {
		return pppoe.AppendFrame(nil, pppoe.Frame{Destination: hostMAC, Source: from, Session: id, Payload: []byte{0, 0x57, 0x60}})
	}
	if b := data(acMAC, id); !f.InSession(b) || !f.Open {
		t.Error("what is ours was not taken")
	}
	for _, b := range [][]byte{data(acMAC, id+1), data(hostMAC, id), frame(acMAC, pppoe.PADT, id+1), frame(hostMAC, pppoe.PADT, id), frame(acMAC, pppoe.PADS, id)} {
		if f.InSession(b) || f.Concerns(b) {
			t.Errorf("taken: %x", b)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	w := newWire(config(), acConfig())
	w.step(up(1500))
	for range 100 {
		w.run(settled())
		w.answered(w.ac.HangUp(w.client.Info().Session.ID))
	}
	in := w.client.Info()
	if len(in.History) != 32 || in.Stats.Ended[pppoe.PeerClosed] != 100 || in.Stats.Opened != 100 {
		t.Errorf("history = %d, stats = %+v", len(in.History), in.Stats)
	}
	if !slices.IsSortedFunc(in.History, func(a, b pppoe.End) int { return a.Closed.Compare(b.Closed) }) {
		t.Error("the newest is not the last")
	}
}

// FuzzFrame reads what gopacket reads, advances, and writes back the same.
func FuzzFrame(f *testing.F) {
	f.Add(frame(acMAC, pppoe.PADT, 7))
	f.Add(pppoe.AppendFrame(nil, pppoe.Frame{Code: pppoe.PADI, Payload: pppoe.AppendTag(nil, pppoe.Tag{Type: pppoe.TagServiceName})}))
	f.Add(append(frame(acMAC, pppoe.PADT, 7), 1, 2, 3)) // padding
	f.Fuzz(func(t *testing.T, b []byte) {
		x, ok := pppoe.ParseFrame(b)
		if !ok {
			return
		}
		if got := pppoe.AppendFrame(nil, x); !bytes.Equal(got, b[:len(got)]) {
			t.Fatalf("written back as %x, want %x", got, b[:len(got)])
		}
		p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.NoCopy)
		if y, ok := p.Layer(layers.LayerTypePPPoE).(*layers.PPPoE); !ok || pppoe.Code(y.Code) != x.Code || y.SessionId != x.Session || int(y.Length) != len(x.Payload) {
			t.Fatalf("gopacket reads %+v, want %+v", p, x)
		}
		for rest := x.Payload; ; {
			tag, next, ok := pppoe.NextTag(rest)
			if !ok {
				break
			}
			if len(next) >= len(rest) {
				t.Fatalf("no progress at %d left", len(rest))
			}
			if got := pppoe.AppendTag(nil, tag); !bytes.Equal(got, rest[:len(got)]) {
				t.Fatalf("tag written back as %x", got)
			}
			rest = next
		}
	})
}

// FuzzClient feeds a client anything in each phase: it never panics, sends no more
// than a few frames for each that it gets, and never wants to be called in the past.
func FuzzClient(f *testing.F) {
	f.Add([]byte{0}, frame(acMAC, pppoe.PADT, 1)[14:])
	f.Add([]byte{1}, []byte{0x11, 7, 0, 0, 0, 4, 1, 1, 0, 0})
	f.Add([]byte{2}, []byte{0x11, 0, 0, 1, 0, 6, 0xc0, 0x21, 5, 1, 0, 4})
	f.Fuzz(func(t *testing.T, when, b []byte) {
		w := newWire(config(), acConfig())
		if len(when) > 0 {
			w.down = when[0]&1 != 0
		}
		w.step(up(1500))
		w.run(time.Second)
		for _, typ := range []byte{0x63, 0x64} {
			whole := append(append(append(hostMAC[:len(hostMAC):len(hostMAC)], acMAC[:]...), 0x88, typ), b...)
			for range 4 {
				out := w.client.Step(w.now, pppoe.Received(whole))
				if len(out.Send) > 8 {
					t.Fatalf("%d frames for one", len(out.Send))
				}
				w.now = w.now.Add(100 * time.Millisecond)
				if out = w.client.Step(w.now, nil); !out.Wake.IsZero() && !out.Wake.After(w.now) {
					t.Fatalf("wants to be called at %v, it is %v", out.Wake, w.now)
				}
			}
		}
	})
}
