package ppp

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

func random(seed byte) *rand.Rand { return rand.New(rand.NewChaCha8([32]byte{seed})) }

func host() Config {
	return Config{
		MRU: 1492, User: "alice", Password: "secret", IID: IID{7: 1},
		EchoInterval: DefaultEchoInterval, EchoFailures: DefaultEchoFailures, Random: random(1),
	}
}

func server(demand ...Auth) Config {
	return Config{
		MRU: 1492, IID: IID{7: 2}, Demand: demand, Name: "ac",
		Secret:       func(user string) (string, bool) { return "secret", user == "alice" },
		EchoInterval: DefaultEchoInterval, EchoFailures: DefaultEchoFailures, Random: random(2),
	}
}

// A line is two ends and what is on its way between them.
type line struct {
	now   time.Time
	ends  [2]*Link
	wakes [2]time.Time
	ended [2]Output
	lost  func(from int, b []byte) bool // nil: nothing is
	way   []arriving                    // in the order they were sent
	busy  bool
}

// arriving is a packet on its way to an end.
type arriving struct {
	to int
	b  []byte
}

func newLine(a, b Config) *line {
	return &line{now: time.Unix(1, 0), ends: [2]*Link{New(a), New(b)}}
}

func (x *line) begin() {
	x.busy = true // both are there before the first packet arrives
	for i, e := range x.ends {
		x.took(i, e.Begin(x.now))
	}
	x.busy = false
	x.took(0, Output{Wake: x.wakes[0]})
}

func (x *line) took(i int, out Output) {
	x.wakes[i] = out.Wake
	if out.Ended != NoCause {
		x.ended[i] = out
	}
	for _, b := range out.Send {
		if x.lost == nil || !x.lost(i, b) {
			x.way = append(x.way, arriving{1 - i, b})
		}
	}
	if x.busy {
		return
	}
	x.busy = true
	for len(x.way) > 0 {
		next := x.way[0]
		x.way = x.way[1:]
		x.took(next.to, x.ends[next.to].Receive(x.now, next.b))
	}
	x.busy = false
}

// run lets time pass.
func (x *line) run(d time.Duration) {
	for until := x.now.Add(d); ; {
		next := earliest(x.wakes[0], x.wakes[1])
		if next.IsZero() || next.After(until) {
			x.now = until
			return
		}
		x.now = next
		for i, e := range x.ends {
			if !x.wakes[i].IsZero() && !x.wakes[i].After(x.now) {
				x.took(i, e.Expire(x.now))
			}
		}
	}
}

func (x *line) open() bool { return x.ends[0].Phase() == Open && x.ends[1].Phase() == Open }

func TestAuthentication(t *testing.T) {
	for _, tt := range []struct {
		name   string
		demand []Auth
		user   string
		want   Auth
		cause  Cause
	}{
		{"nobody proves anything", nil, "alice", NoAuth, NoCause},
		{"PAP", []Auth{PAP}, "alice", PAP, NoCause},
		{"CHAP with MD5", []Auth{CHAPMD5}, "alice", CHAPMD5, NoCause},
		{"MS-CHAPv2", []Auth{MSCHAPv2}, "alice", MSCHAPv2, NoCause},
		{"PAP, wrong user", []Auth{PAP}, "mallory", PAP, AuthFailed},
		{"CHAP, wrong user", []Auth{CHAPMD5}, "mallory", CHAPMD5, AuthFailed},
		{"MS-CHAPv2, wrong user", []Auth{MSCHAPv2}, "mallory", MSCHAPv2, AuthFailed},
		{"a host without a user", []Auth{PAP}, "", NoAuth, AuthRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := host()
			h.User = tt.user
			x := newLine(h, server(tt.demand...))
			x.begin()
			x.run(time.Second)
			if got := x.ends[0].Auth(); tt.cause == NoCause && got != tt.want {
				t.Errorf("auth = %v, want %v", got, tt.want)
			}
			if x.open() != (tt.cause == NoCause) || x.ended[1].Ended != tt.cause {
				t.Errorf("open = %v, ended = %v, want %v", x.open(), x.ended, tt.cause)
			}
		})
	}
}

// TestMSCHAPv2ServerMustKnowThePassword lets a server say yes to everybody.
func TestMSCHAPv2ServerMustKnowThePassword(t *testing.T) {
	x := newLine(host(), server(MSCHAPv2))
	x.lost = func(from int, b []byte) bool {
		if from == 1 && bytes.HasPrefix(b, []byte{0xc2, 0x23, byte(chapSuccess)}) {
			copy(b[6:], "S=0000")
		}
		return false
	}
	x.begin()
	if x.ended[0].Ended != AuthFailed {
		t.Errorf("ended = %v, want %v", x.ended[0].Ended, AuthFailed)
	}
}

// TestRFC2759_9_2_HashExample is the RFC's own.
func TestRFC2759_9_2_HashExample(t *testing.T) {
	b := func(s string) []byte { x, _ := hex.DecodeString(s); return x }
	challenge, peer := b("5B5D7C7D7B3F2F3E3C2C602132262628"), b("21402324255E262A28295F2B3A337C7E")
	nt := ntResponse(challenge, peer, "User", "clientPass")
	if want := b("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF"); !bytes.Equal(nt, want) {
		t.Errorf("response = %X, want %X", nt, want)
	}
	if got, want := authenticatorResponse("clientPass", nt, peer, challenge, "User"), "S=407A5589115FD0D6209F510FE9C04566932CDA56"; got != want {
		t.Errorf("authenticator = %s, want %s", got, want)
	}
}

// TestDeafServer loses all of the first half second, as a real server does.
func TestDeafServer(t *testing.T) {
	x := newLine(host(), server(CHAPMD5))
	began := x.now
	x.lost = func(int, []byte) bool { return x.now.Sub(began) < 500*time.Millisecond }
	x.begin()
	x.run(time.Second)
	if !x.open() {
		t.Errorf("phases = %v, %v after a second, want open", x.ends[0].Phase(), x.ends[1].Phase())
	}
}

// TestLoss opens over lines that lose a third of all packets, if not at the first
// try.
func TestLoss(t *testing.T) {
	for seed := range byte(50) {
		x := newLine(host(), server(MSCHAPv2))
		r := random(seed)
		x.lost = func(int, []byte) bool { return r.IntN(3) == 0 }
		x.begin()
		for range 60 {
			if !x.open() {
				x.run(time.Second)
			}
		}
		if !x.open() {
			t.Errorf("seed %d: %v, %v, want open", seed, x.ended[0].Ended, x.ended[1].Ended)
		}
	}
}

func TestRFC1661_6_4_Loop(t *testing.T) {
	l := New(host())
	now := time.Unix(1, 0)
	out := l.Begin(now)
	for range 100 {
		if out.Ended != NoCause {
			break
		}
		var next Output
		for _, b := range out.Send {
			step := l.Receive(now, b)
			next.Send = append(next.Send, step.Send...)
			if step.Ended != NoCause {
				next.Ended = step.Ended
			}
		}
		if len(next.Send) == 0 && next.Ended == NoCause {
			now = now.Add(lastRestart)
			next = l.Expire(now)
		}
		out = next
	}
	if out.Ended != Looped {
		t.Errorf("ended = %v, want %v", out.Ended, Looped)
	}
}

func TestEchoLost(t *testing.T) {
	x := newLine(host(), server())
	x.begin()
	x.run(time.Minute)
	if !x.open() {
		t.Fatal("not open after a minute of echoes")
	}
	x.lost = func(int, []byte) bool { return true }
	x.run(DefaultEchoInterval * (DefaultEchoFailures + 2))
	if x.ended[0].Ended != EchoLost {
		t.Errorf("ended = %v, want %v", x.ended[0].Ended, EchoLost)
	}
}

// TestTrafficIsAsGoodAsAnEcho loses every echo while packets come in.
func TestTrafficIsAsGoodAsAnEcho(t *testing.T) {
	x := newLine(host(), server())
	x.begin()
	x.lost = func(int, []byte) bool { return true }
	for range 600 {
		x.run(time.Second)
		x.ends[0].Heard(x.now)
		x.ends[1].Heard(x.now)
	}
	if !x.open() {
		t.Errorf("ended = %v, want open", x.ended[0].Ended)
	}
}

// TestNetworkProtocolFailsAlone rejects, terminates and ignores each network
// protocol: the link and the other one stay, and it comes back.
func TestNetworkProtocolFailsAlone(t *testing.T) {
	flow := func(x *line) [2]bool {
		_, four := x.ends[0].IPv4()
		return [2]bool{x.ends[0].Phase() == Open, four}
	}
	for i, p := range []Protocol{ProtoIPV6CP, ProtoIPCP} {
		for name, answer := range map[string][]byte{
			"protocol reject": AppendControl(nil, ProtoLCP, Control{ProtocolReject, 1, []byte{byte(p >> 8), byte(p)}}),
			"terminate":       AppendControl(nil, p, Control{TerminateRequest, 1, nil}),
			"code reject":     AppendControl(nil, p, Control{CodeReject, 1, []byte{byte(ConfigureRequest), 1, 0, 4}}),
		} {
			t.Run(p.String()+" "+name, func(t *testing.T) {
				x := newLine4(host(), server())
				x.begin()
				x.run(time.Second)
				if flow(x) != [2]bool{true, true} {
					t.Fatalf("flows = %v, want both", flow(x))
				}
				want := [2]bool{true, true}
				want[i] = false
				x.lost = func(from int, _ []byte) bool { return from == 1 }
				x.took(0, x.ends[0].Receive(x.now, answer))
				if flow(x) != want || x.ends[0].line.state != Opened {
					t.Fatalf("flows = %v, LCP %v, want %v and LCP to stay open", flow(x), x.ends[0].line.state, want)
				}
				x.lost = nil
				x.run(3 * retryNetwork)
				if flow(x) != [2]bool{true, true} {
					t.Errorf("flows = %v, want both again", flow(x))
				}
			})
		}
	}
}

func TestRFC1661_5_7_ProtocolReject(t *testing.T) {
	x := newLine(host(), server())
	x.begin()
	ipcp := []byte{0x80, 0x21, 1, 1, 0, 4}
	out := x.ends[0].Receive(x.now, ipcp)
	want := AppendControl(nil, ProtoLCP, Control{ProtocolReject, 1, ipcp})
	if len(out.Send) != 1 || !bytes.Equal(out.Send[0], want) {
		t.Errorf("sent %x, want %x", out.Send, want)
	}
	if !x.open() {
		t.Error("the link did not stay open")
	}
}

func TestRFC1661_5_6_CodeReject(t *testing.T) {
	x := newLine(host(), server())
	x.begin()
	for _, p := range []Protocol{ProtoLCP, ProtoIPV6CP} {
		out := x.ends[0].Receive(x.now, AppendControl(nil, p, Control{99, 1, []byte("what")}))
		if len(out.Send) != 1 || Code(out.Send[0][2]) != CodeReject {
			t.Errorf("%v: sent %x, want a Code-Reject", p, out.Send)
		}
	}
	x.took(0, x.ends[0].Receive(x.now, AppendControl(nil, ProtoLCP, Control{CodeReject, 1, []byte{byte(EchoRequest), 1, 0, 4}})))
	x.lost = func(int, []byte) bool { return true }
	x.run(time.Hour)
	if x.ends[0].Phase() != Open {
		t.Error("a peer that knows no echo was taken for dead")
	}
}

func TestRFC5072_4_1_IdentifiersDiffer(t *testing.T) {
	a, b := host(), server()
	b.IID = a.IID
	x := newLine(a, b)
	x.begin()
	x.run(time.Second)
	own, peer := x.ends[0].IIDs()
	theirs, ours := x.ends[1].IIDs()
	if !x.open() || own == peer || own != ours || peer != theirs || own == (IID{}) {
		t.Errorf("identifiers = %x %x, %x %x, open %v", own, peer, ours, theirs, x.open())
	}
}

func TestMRUsAreEachEndsOwn(t *testing.T) {
	a, b := host(), server()
	a.MRU, b.MRU = 1492, 1400
	x := newLine(a, b)
	x.begin()
	if x.ends[0].MTU() != 1400 || x.ends[1].MTU() != 1492 {
		t.Errorf("MTUs = %d, %d, want 1400, 1492", x.ends[0].MTU(), x.ends[1].MTU())
	}
}

func TestTerminateByEitherEnd(t *testing.T) {
	for end := range 2 {
		x := newLine(host(), server(PAP))
		x.begin()
		x.took(end, x.ends[end].Close(x.now))
		if x.ended[end].Ended != Requested || x.ended[1-end].Ended != Terminated {
			t.Errorf("end %d: ended = %v, %v", end, x.ended[0].Ended, x.ended[1].Ended)
		}
	}
}

// FuzzControl reads what it accepts as gopacket does, and writes it back the same.
func FuzzControl(f *testing.F) {
	f.Add([]byte{1, 1, 0, 10, 5, 6, 1, 2, 3, 4})
	f.Add([]byte{1, 1, 0, 6, 5, 255}) // an option longer than what is there
	f.Add([]byte{1, 1, 0, 6, 5, 0})   // one of no length
	f.Fuzz(func(t *testing.T, b []byte) {
		c, ok := ParseControl(b)
		if !ok {
			return
		}
		if got := AppendControl(nil, ProtoLCP, c)[ProtocolSize:]; !bytes.Equal(got, b[:len(got)]) {
			t.Fatalf("written back as %x, want %x", got, b[:len(got)])
		}
		for rest := c.Data; ; {
			o, next, ok := NextOption(rest)
			if !ok {
				break
			}
			if len(next) >= len(rest) {
				t.Fatalf("no progress at %d left", len(rest))
			}
			if got := AppendOption(nil, o); !bytes.Equal(got, rest[:len(got)]) {
				t.Fatalf("option written back as %x", got)
			}
			rest = next
		}
	})
}

// FuzzPPPDifferential compares the protocol's number with gopacket's PPP.
func FuzzPPPDifferential(f *testing.F) {
	f.Add(AppendControl(nil, ProtoLCP, Control{ConfigureRequest, 1, nil}))
	f.Add([]byte{0x00, 0x57, 0x60})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 || b[0]&1 != 0 {
			return // compressed: gopacket reads it, we never agree to it
		}
		p, ok := gopacket.NewPacket(b, layers.LayerTypePPP, gopacket.NoCopy).Layer(layers.LayerTypePPP).(*layers.PPP)
		if !ok {
			t.Skip()
		}
		if got, want := Protocol(b[0])<<8|Protocol(b[1]), Protocol(p.PPPType); got != want {
			t.Errorf("protocol = %v, want %v", got, want)
		}
	})
}

// FuzzLink feeds an end anything, in any phase: it never panics, sends no more
// than a few packets for each that it gets, and wants to be called in the future.
func FuzzLink(f *testing.F) {
	f.Add([]byte{0}, []byte{0xc0, 0x21, 1, 1, 0, 4})
	f.Add([]byte{1}, []byte{0x80, 0x57, 1, 1, 0, 14, 1, 10, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{2}, []byte{0xc2, 0x23, 1, 1, 0, 21, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	f.Add([]byte{3}, []byte{0xc0, 0x21, 7, 1, 0, 5, 1})
	f.Add([]byte{0}, []byte{0x80, 0x21, 1, 1, 0, 16, 3, 6, 0, 0, 0, 0, 129, 6, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, how, b []byte) {
		demands := [][]Auth{nil, {PAP}, {CHAPMD5, PAP}, {MSCHAPv2}}
		kind := 0
		if len(how) > 0 {
			kind = int(how[0])
		}
		x := newLine4(host(), server(demands[kind%len(demands)]...))
		x.begin()
		for i := range 2 {
			e := x.ends[i]
			for range 8 {
				out := e.Receive(x.now, b)
				if len(out.Send) > 8 {
					t.Fatalf("%d packets for one", len(out.Send))
				}
				x.now = x.now.Add(time.Second)
				if out = e.Expire(x.now); !out.Wake.IsZero() && !out.Wake.After(x.now) {
					t.Fatalf("wants to be called at %v, it is %v", out.Wake, x.now)
				}
			}
		}
	})
}

// give is what a concentrator has for a host.
var give = IPv4{
	Own: netip.MustParseAddr("100.64.0.1"), Peer: netip.MustParseAddr("100.64.0.9"),
	DNS: [2]netip.Addr{netip.MustParseAddr("100.64.0.53"), {}},
}

// newLine4 is a line whose ends want IPv4 as well, and one of them has addresses.
func newLine4(a, b Config) *line {
	b.IPv4 = give
	x := newLine(a, b)
	for i := range x.ends {
		x.ends[i].WantIPv4(x.now, true)
	}
	return x
}

// TestRFC1332_3_3_Addresses gives the host what it asks for: its address and who
// knows names, the second of whom there is not.
func TestRFC1332_3_3_Addresses(t *testing.T) {
	x := newLine4(host(), server(CHAPMD5))
	x.begin()
	x.run(time.Second)
	got, ok := x.ends[0].IPv4()
	want := IPv4{Own: give.Peer, Peer: give.Own, DNS: give.DNS}
	if !ok || got != want || !x.open() {
		t.Errorf("IPv4 = %+v, %v, want %+v", got, ok, want)
	}
	if got, ok := x.ends[1].IPv4(); !ok || got.Peer != give.Peer || got.Own != give.Own {
		t.Errorf("the concentrator's IPv4 = %+v, %v", got, ok)
	}
}

// TestIPCPJudges the peer's requests, of a host and of a concentrator.
func TestIPCPJudges(t *testing.T) {
	address := func(typ uint8, a ...byte) Option { return Option{typ, a} }
	for _, tt := range []struct {
		name    string
		n       *ipcp
		asked   Option
		patient bool
		code    Code
		instead Option
	}{
		{"a host takes any address", newIPCP(IPv4{}), address(3, 10, 0, 0, 1), true, ConfigureAck, address(3, 10, 0, 0, 1)},
		{"a host has none to give", newIPCP(IPv4{}), address(3, 0, 0, 0, 0), true, ConfigureReject, address(3, 0, 0, 0, 0)},
		{"a host knows no names", newIPCP(IPv4{}), address(129, 0, 0, 0, 0), true, ConfigureReject, address(129, 0, 0, 0, 0)},
		{"nobody compresses headers", newIPCP(give), Option{2, []byte{0, 0x2d, 15, 1}}, true, ConfigureReject, Option{2, []byte{0, 0x2d, 15, 1}}},
		{"an address of the wrong size", newIPCP(give), address(3, 10, 0, 0), true, ConfigureReject, address(3, 10, 0, 0)},
		{"a concentrator gives an address", newIPCP(give), address(3, 0, 0, 0, 0), true, ConfigureNak, address(3, 100, 64, 0, 9)},
		{"a concentrator insists on it", newIPCP(give), address(3, 10, 0, 0, 1), true, ConfigureNak, address(3, 100, 64, 0, 9)},
		{"a concentrator loses patience", newIPCP(give), address(3, 10, 0, 0, 1), false, ConfigureReject, address(3, 100, 64, 0, 9)},
		{"a concentrator names a server", newIPCP(give), address(129, 0, 0, 0, 0), true, ConfigureNak, address(129, 100, 64, 0, 53)},
		{"a concentrator has no second one", newIPCP(give), address(131, 0, 0, 0, 0), true, ConfigureReject, address(131, 0, 0, 0, 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, all := tt.n.judge([]Option{tt.asked}, tt.patient)
			if code != tt.code || len(all) != 1 || all[0].Type != tt.instead.Type || !bytes.Equal(all[0].Data, tt.instead.Data) {
				t.Errorf("judged %v %v, want %v %v", code, all, tt.code, tt.instead)
			}
		})
	}
}

// TestHostWithoutAddress is told by a peer that it gets none: there is no IPv4, and
// IPv6 flows.
func TestHostWithoutAddress(t *testing.T) {
	x := newLine(host(), server())
	for i := range x.ends {
		x.ends[i].WantIPv4(x.now, true) // nobody has an address
	}
	x.begin()
	x.run(time.Minute)
	if got, ok := x.ends[0].IPv4(); ok || !x.open() {
		t.Errorf("IPv4 = %+v, %v; open %v, want IPv6 alone", got, ok, x.open())
	}
}
