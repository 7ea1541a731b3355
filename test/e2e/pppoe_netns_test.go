package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/pppoe"
	"github.com/router6d/router6d/pppoe/ppp"
	"github.com/router6d/router6d/test/lab/bras"
)

// A home is a router that dials into a provider, with a host behind it and the
// Internet behind that.
type home struct {
	*daemon
	t              *testing.T
	line, red, net *netlab.Namespace
	file           string
	opened         int // sessions that were waited for
}

func newHome(t *testing.T) *home {
	t.Helper()
	privileged(t)
	return &home{t: t, line: namespace(t, "r6e-line"), red: namespace(t, "r6e-red"), net: namespace(t, "r6e-net")}
}

// live starts the router. lines is more interfaces, and wan more of the session's
// settings.
func (h *home) live(lines, wan string) {
	h.t.Helper()
	socket := filepath.Join(short(h.t), "sock")
	h.file = file(h.t, whole(socket, fmt.Sprintf(`
interfaces:
%s
  wan: {type: pppoe, user: router6d, password: secret, %s}
  red: {addresses: [2001:db8:100:1::1/64], kernel: {netns: r6e-red, addresses: [2001:db8:100:1::2/64], routes: ["::/0"]}}
routes:
  - {prefix: "::/0", dev: wan}
`, lines, wan)))
	h.dial(socket)
}

// dial starts the router, in the namespace where the line ends.
func (h *home) dial(socket string) {
	h.t.Helper()
	p := spawn(h.t, h.line, binary(h.t), "run", "--config", h.file)
	h.daemon = &daemon{Client: control.NewClient(socket), process: p, file: h.file, socket: socket, kept: []string{"line-tap", "one-tap", "two-tap", "three-tap", "ours"}}
	h.t.Cleanup(h.daemon.stop)
	h.ready()
	h.opened = 0
}

// A subscriber is a home whose provider is a real server.
type subscriber struct {
	*home
	*bras.Server
}

// subscribe starts server and router.
func subscribe(t *testing.T, options bras.Options, lines, wan string) *subscriber {
	t.Helper()
	s := &subscriber{home: newHome(t)}
	options.Namespace, options.Uplink = s.line, s.net
	s.Server = bras.Start(t, options)
	s.live(lines, wan)
	return s
}

const untagged = "  line: {type: packet}"

// count is how often an event is in the log.
func (s *home) count(event string) int {
	return strings.Count(s.errout.String(), `"event":"`+event+`"`)
}

// session waits for one more session than before, and for a packet through it.
func (s *home) session(patience time.Duration) {
	s.t.Helper()
	s.opened++
	for deadline := time.Now().Add(patience); s.count("session opened") < s.opened; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("no session %d within %v\n%s", s.opened, patience, s.do("show pppoe"))
		}
	}
	s.awaitUp("wan", 0)
	reaches(s.t, s.red, bras.Internet.String())
}

func TestPPPoEAuthentication(t *testing.T) {
	s := subscribe(t, bras.Options{Auth: bras.NoAuth}, untagged, "lower: line")
	for _, tt := range []struct {
		auth bras.Auth
		want string
	}{{bras.NoAuth, "none"}, {bras.PAP, "pap"}, {bras.CHAP, "chap-md5"}, {bras.MSCHAPv2, "ms-chapv2"}} {
		if tt.auth != bras.NoAuth { // which the first session may have begun with already
			s.SetAuth(tt.auth)
			s.LinkDown()
			s.awaitDown()
			s.LinkUp()
		}
		s.session(10 * time.Second)
		if all := ask[[]control.Session](s.daemon, "show pppoe"); len(all) != 1 || all[0].Auth != tt.want || all[0].MTU != 1492 {
			t.Errorf("sessions: %+v, want one with %s and 1492", all, tt.want)
		}
	}
}

// A wrong password is told, and asked again until it is right. (What each way to ask
// makes of it, ppp's TestAuthentication has.)
func TestPPPoEWrongPassword(t *testing.T) {
	s := subscribe(t, bras.Options{Auth: bras.MSCHAPv2, Password: "other"}, untagged, "lower: line")
	s.await("session not opened", func(l line) bool { return l.Cause == "authentication failed" })
	s.SetSecret("router6d", "secret")
	s.session(30 * time.Second)
}

// RFC 4638, on a line that has room for it, and on a VLAN.
func TestPPPoEMTU1500OnVLAN(t *testing.T) {
	s := subscribe(t, bras.Options{MTU: 1508, VLAN: 7, Auth: bras.CHAP}, untagged+"\n  dsl: {type: vlan, lower: line, vlan: 7}", "lower: dsl")
	s.session(10 * time.Second)
	if mtu := s.iface("wan").MTU; mtu != 1500 {
		t.Errorf("mtu = %d, want 1500", mtu)
	}
	if r := ping(t, s.red, bras.Internet.String(), "-s", "1452", "-M", "do"); r.code != 0 {
		t.Errorf("1500 bytes did not pass: %s%s", r.out, r.errout)
	}
}

// Of two servers that both answer, the one is taken that was asked for, by its name
// or by the service that only it has; or the first, which is either.
func TestPPPoETwoServers(t *testing.T) {
	h := newHome(t)
	far := namespace(t, "r6e-street")
	one := bras.Start(t, bras.Options{Namespace: far, Link: "one", Name: "one", Services: []string{"gold"}})
	two := bras.Start(t, bras.Options{Namespace: far, Link: "two", Name: "two", Services: []string{"silver"}})
	if err := netlab.Connect(h.line, "line", far, "three"); err != nil {
		t.Fatal(err)
	}
	if err := far.AddBridge(t.Context(), "ether", "one", "two", "three"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		settings string
		want     []string
	}{
		{"ac: two", []string{two.MAC()}},
		{"ac: one, service: gold", []string{one.MAC()}},
		{"service: silver", []string{two.MAC()}},
		{"identity: renew", []string{one.MAC(), two.MAC()}}, // which of both is not told
	} {
		t.Run(tt.settings, func(t *testing.T) {
			h.t = t
			h.live(untagged, "lower: line, "+tt.settings)
			h.await("session opened", func(l line) bool { return true })
			all := ask[[]control.Session](h.daemon, "show pppoe")
			if len(all) != 1 || !slices.Contains(tt.want, all[0].Peer) {
				t.Errorf("sessions: %+v, want one with %v", all, tt.want)
			}
		})
	}
}

// A line that loses a tenth of all frames, and delays the others.
func TestPPPoEBadLine(t *testing.T) {
	s := subscribe(t, bras.Options{Auth: bras.MSCHAPv2, Impair: bras.Impairment{Delay: 60 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 10}}, untagged, "lower: line, ac: lab")
	s.session(time.Minute)
}

// Each way in which a session ends and says so is recovered from without help. What
// that takes of our own time is told: between what the server says and what we answer,
// as the line sees it, and until there is a PADI.
func TestPPPoEDrops(t *testing.T) {
	for _, identity := range []string{"keep", "renew"} {
		t.Run(identity, func(t *testing.T) {
			s := subscribe(t, bras.Options{Auth: bras.CHAP}, untagged, "lower: line, identity: "+identity)
			s.session(10 * time.Second)
			first := s.iface("wan").ID
			for _, drop := range []struct {
				name     string
				end      func()
				patience time.Duration
			}{
				{"LCP terminate", s.Terminate, 10 * time.Second},
				{"PADT", s.PADT, 10 * time.Second},
				{"link down", func() { s.LinkDown(); s.awaitDown(); s.LinkUp() }, 20 * time.Second},
				{"power cut", func() { s.PowerCut(); s.awaitDown(); s.PowerOn() }, time.Minute},
			} {
				w, err := watchLine(s.line, "line")
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				drop.end()
				s.session(drop.patience)
				took := time.Since(began)
				own, padi := w.end(t)
				t.Logf("%s: a packet after %v; a PADI %v after a PADT, turns of our own without that %v",
					drop.name, took.Round(10*time.Millisecond), padi.Round(time.Millisecond), own.Round(100*time.Microsecond))
			}
			if same := s.iface("wan").ID == first; same != (identity == "keep") {
				t.Errorf("the same interface: %v, identity %s", same, identity)
			}
		})
	}
}

// Three servers go silent at the same time, each in its way: one has forgotten its
// session, the pppd of another hangs, the line to the third is dead. All is recovered
// from without help.
func TestPPPoESilentServers(t *testing.T) {
	h := newHome(t)
	far := namespace(t, "r6e-street")
	names := []string{"one", "two", "three"}
	var servers []*bras.Server
	for _, name := range names {
		servers = append(servers, bras.Start(t, bras.Options{Namespace: far, Link: name, Name: name, Auth: bras.CHAP}))
	}
	if err := netlab.Connect(h.line, "line", far, "home"); err != nil {
		t.Fatal(err)
	}
	if err := far.AddBridge(t.Context(), "ether", append(names, "home")...); err != nil {
		t.Fatal(err)
	}
	h.live(untagged+`
  wan1: {type: pppoe, user: router6d, password: secret, lower: line, ac: one}
  wan2: {type: pppoe, user: router6d, password: secret, lower: line, ac: two, identity: renew}`, "lower: line, ac: three")
	open := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); h.count("session opened") < n; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d sessions were opened, want %d\n%s", h.count("session opened"), n, h.do("show pppoe"))
			}
		}
	}
	open(3)
	servers[0].Forget()
	servers[1].Freeze(true)
	servers[2].Silence(true)
	h.opened = 3
	h.awaitDown()
	servers[1].Freeze(false)
	servers[2].Silence(false)
	open(6)
	for _, session := range ask[[]control.Session](h.daemon, "show pppoe") {
		if len(session.History) == 0 || session.History[len(session.History)-1].Cause != "no echo reply" {
			t.Errorf("%s: %+v, want no echo reply", session.Interface, session.History)
		}
	}
}

// awaitDown waits until the router has seen the end of its session.
func (s *home) awaitDown() {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); s.count("session closed") < s.opened; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("the end of the session was not seen")
		}
	}
}

// drops is how often the session dies under TCP, and kills how often the router does.
var (
	drops = flag.Int("drops", 5, "how often a session dies under TCP, for each identity")
	kills = flag.Int("kills", 3, "how often a router is killed under TCP")
)

// A dropper is a provider, or the line to it, that ends sessions.
type dropper interface {
	Terminate()
	PADT()
	LinkDown()
	LinkUp()
}

// The seed's scene: kernel TCP through the session, which retransmits while that
// dies and returns. No lookup may return what is dead, nothing is left behind, and
// the connection goes on.
func TestPPPoEDiesUnderTCP(t *testing.T) {
	for _, identity := range []string{"keep", "renew"} {
		t.Run(identity, func(t *testing.T) {
			s := subscribe(t, bras.Options{Auth: bras.CHAP}, untagged, "lower: line, identity: "+identity)
			s.survive(s.Server)
		})
		t.Run("our own concentrator, "+identity, func(t *testing.T) {
			h := newHome(t)
			c := concentrate(t, h.line, h.net)
			h.live(untagged, "lower: line, identity: "+identity)
			h.survive(c)
			if n := c.sessions(); n != 1 {
				t.Errorf("the concentrator has %d sessions, want 1", n)
			}
		})
	}
}

// survive drops the session again and again.
func (s *home) survive(line dropper) {
	s.t.Helper()
	s.session(10 * time.Second)
	flow, end := s.flow()
	before := s.descriptors()
	for i := range *drops {
		s.drop(line, i)
		s.session(time.Minute)
		s.moves(flow)
	}
	eventually(s.t, "wait for the descriptors of what has ended", func() error {
		if now := s.descriptors(); now > before {
			return fmt.Errorf("%d descriptors, %d before", now, before)
		}
		return nil
	})
	s.t.Logf("%d drops: %+v; %d descriptors, %d before; %d KiB", *drops, end(), s.descriptors(), before, s.memory())
}

// drop ends the session: by the line, as a rule. One that was short is a failure to
// the router, which it answers with patience, so others wait for the session to be
// one that was not.
func (s *home) drop(line dropper, i int) {
	s.t.Helper()
	if i%25 != 4 {
		line.LinkDown()
		s.awaitDown()
		line.LinkUp()
		return
	}
	eventually(s.t, "wait for the session to last", s.lasted)
	if i%50 == 4 {
		line.Terminate()
	} else {
		line.PADT()
	}
}

// lasted is an error until the session is one that was none of a row of failures.
func (s *home) lasted() error {
	all := ask[[]control.Session](s.daemon, "show pppoe")
	if len(all) != 1 || all[0].Opened.IsZero() || time.Since(all[0].Opened) < 5*time.Second {
		return fmt.Errorf("sessions: %+v", all)
	}
	return nil
}

// flow starts a connection from the host to the Internet. end ends it, and checks
// that every byte has come.
func (s *home) flow() (f *netlab.TCPFlow, end func() netlab.TCPReport) {
	s.t.Helper()
	sink, err := netlab.StartTCPSink(s.net, netip.AddrPortFrom(bras.Internet, 5001))
	if err != nil {
		s.t.Fatal(err)
	}
	if f, err = netlab.StartTCPFlow(s.t.Context(), s.red, netip.Addr{}, sink.Addr(), 2_000_000); err != nil {
		s.t.Fatal(err)
	}
	return f, func() netlab.TCPReport {
		s.t.Helper()
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
		defer cancel()
		report, err := f.Stop(ctx)
		if err != nil || report.Sent != report.Verified {
			s.t.Errorf("flow: %+v, %v", report, err)
		}
		if err := sink.Stop(); err != nil {
			s.t.Error(err)
		}
		return report
	}
}

// descriptors is how many the router has open.
func (s *home) descriptors() int {
	s.t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(all)
}

// A router that is killed at any moment, and each time another that takes over: the
// connection goes on, and the provider is left with one session.
func TestPPPoEKilledUnderTCP(t *testing.T) {
	t.Run("real server", func(t *testing.T) {
		s := subscribe(t, bras.Options{Auth: bras.CHAP}, untagged, "lower: line")
		s.surviveKills(func() int { return len(s.Sessions()) })
	})
	t.Run("our own concentrator", func(t *testing.T) {
		h := newHome(t)
		c := concentrate(t, h.line, h.net)
		h.live(untagged, "lower: line")
		h.surviveKills(c.sessions)
	})
}

// surviveKills kills the router at a moment between its start and a while after its
// session.
func (s *home) surviveKills(sessions func() int) {
	s.t.Helper()
	s.session(10 * time.Second)
	flow, end := s.flow()
	for range *kills {
		s.over = true
		s.signal(unix.SIGKILL)
		<-s.done
		s.dial(s.socket)
		if rand.IntN(3) > 0 {
			time.Sleep(rand.N(1500 * time.Millisecond)) // not to wait for anything: the moment is the test
			continue
		}
		s.session(time.Minute)
		s.moves(flow)
	}
	if s.opened == 0 {
		s.session(time.Minute)
		s.moves(flow)
	}
	eventually(s.t, "wait for the end of the old sessions", func() error {
		if n := sessions(); n != 1 {
			return fmt.Errorf("the provider has %d sessions", n)
		}
		return nil
	})
	s.t.Logf("%d kills: %+v", *kills, end())
}

// moves waits until the peer has acknowledged more than before.
func (s *home) moves(flow *netlab.TCPFlow) {
	s.t.Helper()
	before, err := flow.State()
	if err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "wait for the connection to go on", func() error {
		now, err := flow.State()
		if err == nil && now.Acked <= before.Acked {
			err = fmt.Errorf("acknowledged: %d", now.Acked)
		}
		return err
	})
}

// A session's interface that is deleted while it is not there, as its link is gone,
// is no longer shown, and does not come again.
func TestPPPoEDeletedBetweenIncarnations(t *testing.T) {
	for _, how := range []string{"command", "reload"} {
		t.Run(how, func(t *testing.T) {
			h := newHome(t)
			concentrate(t, h.line, h.net)
			h.live(untagged, "lower: line")
			h.session(10 * time.Second)
			if err := h.line.DeleteLink("line"); err != nil {
				t.Fatal(err)
			}
			h.await("interface detached", func(l line) bool { return l.Iface == "wan" })
			if all := ask[[]control.Session](h.daemon, "show pppoe"); len(all) != 1 {
				t.Errorf("sessions: %+v, want what wan had", all)
			}
			if how == "command" {
				h.do("interface del wan")
			} else {
				must(t, nil, "sed", "-i", "/ wan/d", h.file)
				h.do("reload")
			}
			if all := ask[[]control.Session](h.daemon, "show pppoe"); len(all) != 0 {
				t.Errorf("sessions: %+v, want none", all)
			}
		})
	}
}

// IPv4 of the session is the kernel's, in the namespace of the router: what the
// kernel sends by its default route goes through the session, and back. TCP knows how
// much fits. With identity keep the device stays when the session ends, and with it
// the kernel's connections; with renew it goes.
func TestPPPoEIPv4(t *testing.T) {
	for _, identity := range []string{"keep", "renew"} {
		t.Run(identity, func(t *testing.T) {
			s := subscribe(t, bras.Options{Auth: bras.CHAP, IPv4: true},
				untagged+"\n  wan4: {type: ipv4, lower: wan, default-route: true}", "lower: line, identity: "+identity)
			s.session(10 * time.Second)
			s.handedOver(1)
			if mtu := s.iface("wan4").MTU; mtu != 1492 {
				t.Errorf("mtu = %d, want 1492", mtu)
			}
			if r := ping(t, s.line, bras.Host4.String(), "-s", "1464", "-M", "do"); r.code != 0 {
				t.Errorf("1492 bytes did not pass: %s%s", r.out, r.errout)
			}
			for i, options := range [][]string{nil, {"-R"}} {
				port := 5301 + i // each client has a server of its own: see server
				s.Run(fmt.Sprintf("iperf3 -s -1 -D -p %d >/dev/null 2>&1; until grep -q :%X /proc/net/tcp6; do sleep 0.02; done", port, port))
				must(t, s.line, append([]string{"iperf3", "-c", bras.Host4.String(), "-p", fmt.Sprint(port), "-n", "2M"}, options...)...)
			}
			before, err := s.line.Link("wan4")
			if err != nil {
				t.Fatal(err)
			}
			s.Terminate()
			s.session(20 * time.Second)
			s.handedOver(2)
			after, err := s.line.Link("wan4")
			if err != nil {
				t.Fatal(err)
			}
			if same := before.Index == after.Index; same != (identity == "keep") {
				t.Errorf("the same device: %v, identity %s", same, identity)
			}
		})
	}
}

// handedOver waits until IPv4 has been handed over so often, and for a packet.
func (s *subscriber) handedOver(n int) {
	s.t.Helper()
	eventually(s.t, "wait for IPv4", func() error {
		if got := s.count("ipv4 handed over"); got < n {
			return fmt.Errorf("handed over %d times, want %d", got, n)
		}
		return nil
	})
	reaches(s.t, s.line, bras.Host4.String())
}

// A witness is who sees PPPoE on the line, and when.
type witness struct {
	in   *netlab.Capture
	join sync.WaitGroup

	own, padi time.Duration
}

// watchLine sees what passes from now on.
func watchLine(ns *netlab.Namespace, name string) (*witness, error) {
	in, err := netlab.OpenCapture(ns, name, netlab.CaptureConfig{Frames: true, AnyProtocol: true})
	if err != nil {
		return nil, err
	}
	w := &witness{in: in}
	w.join.Go(w.watch)
	return w, nil
}

// watch adds up the time from a frame of the server's to the next of ours. What we
// send unasked, as it is not answered, is no turn.
func (w *witness) watch() {
	var b [2048]byte
	var before time.Time // when the server spoke; zero: we have spoken since
	var dropped time.Time
	for {
		p, err := w.in.Read(b[:])
		if err != nil {
			return
		}
		f, ok := pppoe.ParseFrame(b[:p.Len])
		if now := time.Now(); ok {
			switch {
			case !p.Outgoing:
				if f.Code == pppoe.PADT && dropped.IsZero() {
					dropped = now
				}
				before = now
			case f.Code == pppoe.PADI && w.padi == 0 && !dropped.IsZero():
				w.padi, before = now.Sub(dropped), time.Time{}
			case !before.IsZero():
				if !unasked(f) {
					w.own += now.Sub(before)
				}
				before = time.Time{}
			}
		}
	}
}

// unasked reports whether a frame answers nothing: a packet, or an echo request.
func unasked(f pppoe.Frame) bool {
	const echoRequest = 9
	if f.Code != pppoe.SessionData || len(f.Payload) < 3 {
		return false
	}
	p := ppp.Protocol(f.Payload[0])<<8 | ppp.Protocol(f.Payload[1])
	return p == ppp.ProtoIPv6 || p == ppp.ProtoLCP && f.Payload[2] == echoRequest
}

func (w *witness) end(t *testing.T) (own, padi time.Duration) {
	t.Helper()
	if err := w.in.Close(); err != nil {
		t.Error(err)
	}
	w.join.Wait()
	return w.own, w.padi
}

// What is shown of sessions.
func TestPPPoEShown(t *testing.T) {
	s := subscribe(t, bras.Options{Auth: bras.PAP}, untagged, "lower: line")
	s.session(10 * time.Second)
	s.Terminate()
	s.session(10 * time.Second)
	all := ask[[]control.Session](s.daemon, "show pppoe")
	if len(all) != 1 || all[0].Phase != "open" || all[0].AC != "lab" || all[0].Peer != s.MAC() || all[0].MTU != 1492 || all[0].Auth != "pap" {
		t.Errorf("sessions: %+v", all)
	}
	if h := all[0].History; len(h) != 1 || h[0].Cause != "closed by the peer" || h[0].Lasted <= 0 {
		t.Errorf("history: %+v", all[0].History)
	}
	if out := s.do("show pppoe"); !strings.Contains(out, "closed by the peer") {
		t.Errorf("show pppoe:\n%s", out)
	}
}
