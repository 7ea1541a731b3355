package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/control"
)

// wireConfig has both devices in one namespace, in which IPv6 is off: the kernel
// there has nothing to say, and every packet is the test's.
const wireConfig = `
interfaces:
  red:
    addresses: [2001:db8:1::1/64, "fe80::1/64"]
    kernel: {netns: wire}
  blue:
    addresses: [2001:db8:2::1/64]
    mtu: 1400
    kernel: {netns: wire}
routes:
  - {prefix: 2001:db8:1:ff::/64, dev: red}
  - {prefix: 2001:db8:f000::/48, refuse: unreachable}
  - {prefix: 2001:db8:f001::/48, refuse: prohibit}
  - {prefix: 2001:db8:f002::/48, refuse: blackhole}
`

// A wire is scapy at the other end of the router's devices.
type wire struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

// An answer is a packet that came out of the router.
type answer struct {
	Dev        string
	Src, Dst   string
	HopLimit   int `json:"hop_limit"`
	Next, Len  int
	Type, Code int
	Param      uint32
	ChecksumOK bool `json:"checksum_ok"`
	Quotes     bool // the beginning of what was sent, and all that fits in 1280 bytes
	Same       bool // what was sent
	Forwarded  bool // what was sent, the hop limit one less
}

func startWire(t *testing.T, devices ...string) *wire {
	t.Helper()
	cmd := exec.Command("ip", append([]string{"netns", "exec", "wire", "/usr/bin/python3", "testdata/wire.py"}, devices...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = &testWriter{t}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // its end
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	w := &wire{t: t, in: in, out: bufio.NewScanner(out)}
	w.out.Buffer(nil, 64<<20)
	return w
}

type testWriter struct{ t *testing.T }

func (w *testWriter) Write(p []byte) (int, error) {
	w.t.Logf("wire.py: %s", p)
	return len(p), nil
}

// send puts packets on the first device, and returns what came back by the time
// the router had dealt with them, and how many there were.
func (w *wire) send(packet string, repeat int) ([]answer, int) {
	w.t.Helper()
	b, err := json.Marshal(map[string]any{"packet": packet, "repeat": repeat})
	if err == nil {
		_, err = fmt.Fprintf(w.in, "%s\n", b)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if !w.out.Scan() {
		w.t.Fatalf("wire.py has ended: %v", w.out.Err())
	}
	var r struct {
		Sent    int
		Answers []answer
		Error   string
	}
	if err := json.Unmarshal(w.out.Bytes(), &r); err != nil || r.Error != "" {
		w.t.Fatalf("%s: %v %s", packet, err, r.Error)
	}
	return r.Answers, r.Sent
}

// The parts that packets here are made of, in scapy.
const (
	from = `src="2001:db8:1::2"`
	pass = `IPv6(` + from + `, dst="2001:db8:2::2")`
	here = `IPv6(` + from + `, dst="2001:db8:1::1")`
	udp  = `/UDP(sport=9, dport=9)/b"data"`
)

// An expected error: type, code, parameter, and its source where that is not
// the address of the link.
type icmp struct {
	typ, code int
	param     uint32
	src       string
}

// Outcomes that are no error.
var (
	silence   *icmp
	forwarded = &icmp{typ: -1}
)

// Whatever scapy sends, one answer comes or none, and it is counted.
//
// Proves:
//   - RFC 8200 §3 forward-decrements
//   - RFC 8200 §3 hop-limit-used-up
//   - RFC 8200 §3 payload-length
//   - RFC 8200 §4 transit-untouched
//   - RFC 8200 §4 unrecognized-next-header
//   - RFC 8200 §4 hop-by-hop-elsewhere
//   - RFC 8200 §4.2 skip
//   - RFC 8200 §4.2 discard
//   - RFC 8200 §4.2 report
//   - RFC 8200 §4.2 report-unicast
//   - RFC 8200 §4.4 unknown-type-left
//   - RFC 8200 §4.5 odd-length-reported
//   - RFC 8200 §4.5 too-long-reported
//   - RFC 8200 §4.5 incomplete-chain
//   - RFC 8200 §4.5 overlap
//   - RFC 8200 §4.7 nothing-follows
//   - RFC 4443 §2.2 asked-address
//   - RFC 4443 §2.3 checksum
//   - RFC 4443 §2.4 quote
//   - RFC 4443 §2.4 about-error
//   - RFC 4443 §2.4 about-redirect
//   - RFC 4443 §2.4 about-group
//   - RFC 4443 §3.1 no-route
//   - RFC 4443 §3.1 prohibited
//   - RFC 4443 §3.1 beyond-scope
//   - RFC 4443 §3.1 address-unreachable
//   - RFC 4443 §3.1 port-unreachable
//   - RFC 4443 §3.1 no-return
//   - RFC 4443 §3.2 too-big
//   - RFC 4443 §3.3 hop-limit
//   - RFC 4443 §3.4 problem
func TestRFC4443AndRFC8200OnTheWire(t *testing.T) {
	privileged(t)
	n := namespace(t, "wire")
	sysctl(t, n, "net/ipv6/conf/default/disable_ipv6=1")
	d := start(t, wireConfig)
	w := startWire(t, "red", "blue")
	for _, c := range []struct {
		name, packet string
		drop         string // the one reason that counts, or none
		want         *icmp
	}{
		{"a packet like any other", pass + udp, "", forwarded},
		{"every field but the hop limit is left alone", `IPv6(` + from + `, dst="2001:db8:2::2", tc=0xb9, fl=0xabcde, hlim=2)` + udp, "", forwarded},

		// RFC 8200 §3: what is not IPv6, or not whole.
		{"one byte", `b"\x60"`, "truncated", silence},
		{"an IPv4 packet", `IP(src="192.0.2.1", dst="192.0.2.2")/UDP()`, "not_ipv6", silence},
		{"version 0", `b"\x00" + bytes(` + pass + udp + `)[1:]`, "not_ipv6", silence},
		{"version 15", `b"\xf0" + bytes(` + pass + udp + `)[1:]`, "not_ipv6", silence},
		{"half a header", `bytes(` + pass + udp + `)[:20]`, "truncated", silence},
		{"a header alone", `IPv6(` + from + `, dst="2001:db8:2::2", nh=59)`, "", forwarded},
		{"a length past the end", `IPv6(` + from + `, dst="2001:db8:2::2", plen=100)` + udp, "truncated", silence},
		{"a length of 65535", `IPv6(` + from + `, dst="2001:db8:2::2", plen=65535)` + udp, "truncated", silence},

		// RFC 8200 §3, RFC 4443 §3.3: hop limit.
		{"hop limit 1", `IPv6(` + from + `, dst="2001:db8:2::2", hlim=1)` + udp, "hop_limit", &icmp{typ: 3, code: 0}},
		{"hop limit 0", `IPv6(` + from + `, dst="2001:db8:2::2", hlim=0)` + udp, "hop_limit", &icmp{typ: 3, code: 0}},
		{"hop limit 2", `IPv6(` + from + `, dst="2001:db8:2::2", hlim=2)` + udp, "", forwarded},
		{"hop limit 1 of much", `IPv6(` + from + `, dst="2001:db8:2::2", hlim=1)/UDP()/bytes(1400)`, "hop_limit", &icmp{typ: 3, code: 0}},
		{"no route goes before hop limit", `IPv6(` + from + `, dst="2001:db8:eeee::", hlim=1)` + udp, "no_route", &icmp{typ: 1, code: 0}},

		// RFC 4291 §2.5, §2.7: addresses.
		{"multicast source", `IPv6(src="ff02::1", dst="2001:db8:2::2")` + udp, "bad_source", silence},
		{"loopback source", `IPv6(src="::1", dst="2001:db8:2::2")` + udp, "bad_source", silence},
		{"unspecified source", `IPv6(src="::", dst="2001:db8:2::2")` + udp, "bad_source", silence},
		{"loopback destination", `IPv6(` + from + `, dst="::1")` + udp, "bad_destination", silence},
		{"unspecified destination", `IPv6(` + from + `, dst="::")` + udp, "bad_destination", silence},
		{"a group that is not ours", `IPv6(` + from + `, dst="ff05::1234")` + udp, "multicast", silence},
		{"a group that is not ours, hop limit 0", `IPv6(` + from + `, dst="ff05::1234", hlim=0)` + udp, "multicast", silence},
		{"all nodes, UDP", `IPv6(` + from + `, dst="ff02::1")` + udp, "local_port", silence},
		{"a neighbor solicitation", `IPv6(src="fe80::2", dst="ff02::1:ff00:1", hlim=255)/ICMPv6ND_NS(tgt="fe80::1")`, "local_ignored", silence},
		{"a router solicitation from nobody", `IPv6(src="::", dst="ff02::2", hlim=255)/ICMPv6ND_RS()`, "local_ignored", silence},
		{"an MLD report", `IPv6(src="::", dst="ff02::16", hlim=1)/IPv6ExtHdrHopByHop(options=RouterAlert())/ICMPv6MLReport2()`, "local_ignored", silence},
		{"another's link-local address", `IPv6(` + from + `, dst="fe80::2")` + udp, "link_local_target", &icmp{typ: 1, code: 3}},
		{"a link-local source to elsewhere", `IPv6(src="fe80::2", dst="2001:db8:2::2")` + udp, "beyond_scope", &icmp{typ: 1, code: 2}},

		// RFC 4443 §3.1: routes that refuse.
		{"no route", `IPv6(` + from + `, dst="2001:db8:eeee::1")` + udp, "no_route", &icmp{typ: 1, code: 0}},
		{"unreachable", `IPv6(` + from + `, dst="2001:db8:f000::1")` + udp, "no_route", &icmp{typ: 1, code: 0}},
		{"prohibited", `IPv6(` + from + `, dst="2001:db8:f001::1")` + udp, "prohibited", &icmp{typ: 1, code: 1}},
		{"blackhole", `IPv6(` + from + `, dst="2001:db8:f002::1")` + udp, "blackhole", silence},
		{"back on a point-to-point link", `IPv6(` + from + `, dst="2001:db8:1:ff::1")` + udp, "same_link", &icmp{typ: 1, code: 3}},
		{"the link's own prefix", `IPv6(` + from + `, dst="2001:db8:1::77")` + udp, "same_link", &icmp{typ: 1, code: 3}},

		// RFC 4443 §3.2: MTU. The way out has 1400.
		{"as large as the MTU", pass + `/UDP()/bytes(1400-48)`, "", forwarded},
		{"larger than the MTU", pass + `/UDP()/bytes(1401-48)`, "too_big", &icmp{typ: 2, code: 0, param: 1400}},
		{"a fragment larger than the MTU", pass + `/IPv6ExtHdrFragment(m=1, nh=17, id=7)/bytes(1440)`, "too_big", &icmp{typ: 2, code: 0, param: 1400}},
		{"hop limit goes before MTU", `IPv6(` + from + `, dst="2001:db8:2::2", hlim=1)/UDP()/bytes(1440)`, "hop_limit", &icmp{typ: 3, code: 0}},

		// RFC 8200 §4, RFC 5095: extension headers in transit.
		{"routing header 0 in transit", pass + `/IPv6ExtHdrRouting(type=0, addresses=["2001:db8:9::1"])` + udp, "routing_header", &icmp{typ: 4, code: 0, param: 42}},
		{"routing header 0 behind another header", pass + `/IPv6ExtHdrDestOpt()/IPv6ExtHdrRouting(type=0, addresses=["2001:db8:9::1"])` + udp, "routing_header", &icmp{typ: 4, code: 0, param: 50}},
		{"routing header 0 with no segments left", pass + `/IPv6ExtHdrRouting(type=0, addresses=["2001:db8:9::1"], segleft=0)` + udp, "", forwarded},
		{"routing header 2 in transit", pass + `/IPv6ExtHdrRouting(type=2, addresses=["2001:db8:9::1"])` + udp, "", forwarded},
		{"hop-by-hop options", pass + `/IPv6ExtHdrHopByHop(options=[RouterAlert(), PadN(optdata=b"12")])` + udp, "", forwarded},
		{"destination options", pass + `/IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0xc7, optdata=b"1234")])` + udp, "", forwarded},
		{"a first fragment", pass + `/IPv6ExtHdrFragment(m=1, nh=17, id=7)/bytes(64)`, "", forwarded},
		{"a last fragment", pass + `/IPv6ExtHdrFragment(offset=8, nh=17, id=7)/bytes(64)`, "", forwarded},
		{"a next header nobody knows", `IPv6(` + from + `, dst="2001:db8:2::2", nh=253)/bytes(64)`, "", forwarded},
		{"ESP", `IPv6(` + from + `, dst="2001:db8:2::2", nh=50)/bytes(64)`, "", forwarded},
		{"a wrong UDP checksum", pass + `/UDP(chksum=1)/b"data"`, "", forwarded},

		// To the router itself.
		{"a closed port", here + udp, "local_port", &icmp{typ: 1, code: 4}},
		{"TCP", here + `/TCP(dport=22)`, "local_port", &icmp{typ: 1, code: 4}},
		{"hop limit 0 to the router", `IPv6(` + from + `, dst="2001:db8:1::1", hlim=0)` + udp, "local_port", &icmp{typ: 1, code: 4}},
		// RFC 4443 §2.2(a): from the address that was asked.
		{"the router's address on another link", `IPv6(` + from + `, dst="2001:db8:2::1")` + udp, "local_port", &icmp{typ: 1, code: 4, src: "2001:db8:2::1"}},
		{"an unknown next header", `IPv6(` + from + `, dst="2001:db8:1::1", nh=253)/bytes(16)`, "local_header", &icmp{typ: 4, code: 1, param: 6}},
		{"an unknown next header behind another", here + `/IPv6ExtHdrDestOpt(nh=253)/bytes(16)`, "local_header", &icmp{typ: 4, code: 1, param: 40}},
		{"no next header", `IPv6(` + from + `, dst="2001:db8:1::1", nh=59)/bytes(16)`, "local_ignored", silence},
		{"routing header 0 to the router", here + `/IPv6ExtHdrRouting(type=0, addresses=["2001:db8:9::1"])` + udp, "routing_header", &icmp{typ: 4, code: 0, param: 42}},
		{"an atomic fragment to the router", here + `/IPv6ExtHdrFragment(nh=17, id=7)/UDP(dport=9)/b"data"`, "local_port", &icmp{typ: 1, code: 4}},
		{"a header chain past the end", `IPv6(` + from + `, dst="2001:db8:1::1", nh=60)/b"\x11\xff\x00\x00\x00\x00\x00\x00"`, "local_field", &icmp{typ: 4, code: 0, param: 41}},

		// RFC 8200 §4.2, §4.3, §4.6: options, at the destination.
		{"a router alert", here + `/IPv6ExtHdrHopByHop(options=RouterAlert())` + udp, "local_port", &icmp{typ: 1, code: 4}},
		{"an unknown option 00", here + `/IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x07, optdata=b"1234")])` + udp, "local_port", &icmp{typ: 1, code: 4}},
		{"an unknown option 01", here + `/IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x47, optdata=b"1234")])` + udp, "local_option", silence},
		{"an unknown option 10", here + `/IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=0x87, optdata=b"1234")])` + udp, "local_option", &icmp{typ: 4, code: 2, param: 42}},
		{"an unknown option 11", here + `/IPv6ExtHdrDestOpt(options=[Pad1(), HBHOptUnknown(otype=0xc7, optdata=b"1234")])` + udp, "local_option", &icmp{typ: 4, code: 2, param: 43}},
		{"an unknown option 10 to a group", `IPv6(` + from + `, dst="ff02::1")/IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x87, optdata=b"1234")])` + udp, "local_option", &icmp{typ: 4, code: 2, param: 42}},
		{"an unknown option 11 to a group", `IPv6(` + from + `, dst="ff02::1")/IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0xc7, optdata=b"1234")])` + udp, "local_option", silence},
		{"an option past the end of its header", here + `/IPv6ExtHdrDestOpt(len=0, nh=17, autopad=0, options=[HBHOptUnknown(otype=0x07, optlen=200, optdata=b"1234")])` + udp, "local_field", &icmp{typ: 4, code: 0, param: 43}},
		{"hop-by-hop options behind others", here + `/IPv6ExtHdrDestOpt()/IPv6ExtHdrHopByHop()` + udp, "local_header", &icmp{typ: 4, code: 1, param: 40}},

		// RFC 8200 §4.5: fragments. Each one here has an identification of its own.
		{"a first fragment", here + `/IPv6ExtHdrFragment(m=1, nh=17, id=1)/bytes(64)`, "", silence},
		{"a last fragment", here + `/IPv6ExtHdrFragment(offset=8, nh=17, id=2)/bytes(64)`, "", silence},
		{"a length that is no multiple of 8", here + `/IPv6ExtHdrFragment(m=1, nh=17, id=3)/bytes(65)`, "fragment_length", &icmp{typ: 4, code: 0, param: 4}},
		{"a fragment past the longest packet", here + `/IPv6ExtHdrFragment(offset=8191, nh=17, id=4)/bytes(64)`, "fragment_length", &icmp{typ: 4, code: 0, param: 42}},
		{"half of a UDP header", here + `/IPv6ExtHdrFragment(m=1, nh=60, id=5)/b"\x11\x00\x01\x04\x00\x00\x00\x00"`, "fragment_chain", &icmp{typ: 4, code: 3, param: 0}},
		{"fragments that overlap", `[` + here + `/IPv6ExtHdrFragment(offset=o, m=m, nh=58, id=6)/bytes(n) for o, m, n in [(0, 1, 64), (7, 1, 64), (15, 0, 8)]]`, "fragment_overlap fragment_overlap", silence},
		{"an echo request with a wrong checksum", here + `/ICMPv6EchoRequest(cksum=1)`, "local_checksum", silence},
		{"an echo reply", here + `/ICMPv6EchoReply()`, "local_ignored", silence},
		{"half an ICMPv6 message", `IPv6(` + from + `, dst="2001:db8:1::1", nh=58)/b"\x80\x00"`, "truncated", silence},

		// RFC 4443 §2.4(e): never an error about …
		{"an error, hop limit 1", `IPv6(` + from + `, dst="2001:db8:2::2", hlim=1)/ICMPv6DestUnreach()/bytes(40)`, "hop_limit", silence},
		{"an error, no route", `IPv6(` + from + `, dst="2001:db8:eeee::1")/ICMPv6TimeExceeded()/bytes(40)`, "no_route", silence},
		{"an error, too big", pass + `/ICMPv6PacketTooBig()/bytes(1440)`, "too_big", silence},
		{"an error of an unknown type", `IPv6(` + from + `, dst="2001:db8:eeee::1")/ICMPv6Unknown(type=127)/bytes(40)`, "no_route", silence},
		{"a redirect", `IPv6(` + from + `, dst="2001:db8:eeee::1")/ICMPv6ND_Redirect()`, "no_route", silence},
		{"an error behind a header", `IPv6(` + from + `, dst="2001:db8:eeee::1")/IPv6ExtHdrDestOpt()/ICMPv6DestUnreach()/bytes(40)`, "no_route", silence},
		{"an informational message", `IPv6(` + from + `, dst="2001:db8:eeee::1")/ICMPv6EchoRequest()`, "no_route", &icmp{typ: 1, code: 0}},
		{"an informational message of an unknown type", `IPv6(` + from + `, dst="2001:db8:eeee::1")/ICMPv6Unknown(type=200)/bytes(40)`, "no_route", &icmp{typ: 1, code: 0}},
		{"a group, closed port", `IPv6(` + from + `, dst="ff02::2")` + udp, "local_port", silence},
		{"a group, unknown next header", `IPv6(` + from + `, dst="ff02::1", nh=253)/bytes(16)`, "local_header", silence},
		{"a later fragment of something", `IPv6(` + from + `, dst="2001:db8:eeee::1")/IPv6ExtHdrFragment(offset=8, nh=17)/bytes(64)`, "no_route", &icmp{typ: 1, code: 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t, d.t = t, t
			before, account := d.settled()
			answers, sent := w.send(c.packet, 1)
			after := d.awaitReceived(account.Received + uint64(sent) + 1)
			var dropped []string
			for reason, n := range after {
				for range n - before[reason] {
					dropped = append(dropped, reason)
				}
			}
			if got := strings.Join(dropped, " "); got != c.drop {
				t.Errorf("dropped = %q, want %q", got, c.drop)
			}
			checkAnswers(t, answers, c.want)
		})
	}
	w.t, d.t = t, t
}

// checkAnswers wants exactly this answer and no other.
func checkAnswers(t *testing.T, answers []answer, want *icmp) {
	t.Helper()
	if want == silence {
		if len(answers) != 0 {
			t.Errorf("answers = %+v, want none", answers)
		}
		return
	}
	if len(answers) != 1 {
		t.Fatalf("answers = %+v, want one", answers)
	}
	a := answers[0]
	if want == forwarded {
		if a.Dev != "blue" || !a.Forwarded {
			t.Errorf("answer = %+v, want the packet on blue, its hop limit one less", a)
		}
		return
	}
	if a.Dev != "red" || a.Next != 58 || a.Type != want.typ || a.Code != want.code || a.Param != want.param {
		t.Errorf("answer = %+v, want type %d, code %d, parameter %d on red", a, want.typ, want.code, want.param)
	}
	if !a.ChecksumOK || !a.Quotes || a.Len > 1280 || a.HopLimit != 64 {
		t.Errorf("answer = %+v, want a right checksum, as much of the packet as fits, hop limit 64", a)
	}
	if a.Dst != "2001:db8:1::2" && a.Dst != "fe80::2" {
		t.Errorf("answer to %s, which sent nothing", a.Dst)
	}
	src := want.src
	switch {
	case src != "":
	case a.Dst == "fe80::2":
		src = "fe80::1"
	default:
		src = "2001:db8:1::1"
	}
	if a.Src != src {
		t.Errorf("answer from %s, want %s", a.Src, src)
	}
}

// settled is the account now, between batches.
func (d *daemon) settled() (map[string]uint64, control.Counters) {
	d.t.Helper()
	c, err := d.Counters(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return d.drops(), c
}

// awaitReceived waits until the router has counted so many packets, and returns
// the drops. The batch of a packet is counted after it has been answered.
func (d *daemon) awaitReceived(n uint64) map[string]uint64 {
	d.t.Helper()
	eventually(d.t, "wait for the account", func() error {
		c, err := d.Counters(d.t.Context())
		if err == nil && c.Received < n {
			err = fmt.Errorf("%d packets counted, want %d", c.Received, n)
		}
		return err
	})
	return d.drops()
}

// TestRFC4443_2_4_f_ErrorsAreLimited sends far more than may be answered.
//
// Proves:
//   - RFC 4443 §2.4 rate-limit
func TestRFC4443_2_4_f_ErrorsAreLimited(t *testing.T) {
	privileged(t)
	n := namespace(t, "wire")
	sysctl(t, n, "net/ipv6/conf/default/disable_ipv6=1")
	d := start(t, wireConfig)
	w := startWire(t, "red", "blue")
	const flood = 30_000
	began := time.Now()
	answers, _ := w.send(`IPv6(`+from+`, dst="2001:db8:2::2", hlim=1)`+udp, flood)
	c, err := d.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	// What the kernel could not queue never came in.
	in := c.Received - 1
	if got := d.drops()["hop_limit"]; got != in || in == 0 {
		t.Errorf("hop_limit = %d, want all of the %d that came in", got, in)
	}
	if c.ICMPErrorsSent+c.ICMPErrorsLimited != in {
		t.Errorf("errors sent %d and held back %d, want %d together", c.ICMPErrorsSent, c.ICMPErrorsLimited, in)
	}
	// 200 at once and 1000 a second, at most: for as long as it took.
	if limit := 200 + 1000*(took.Seconds()+1); float64(c.ICMPErrorsSent) > limit {
		t.Errorf("%d errors in %v, want at most %.0f", c.ICMPErrorsSent, took, limit)
	}
	if uint64(len(answers)) != c.ICMPErrorsSent || len(answers) == 0 {
		t.Errorf("%d answers, want the %d that were sent", len(answers), c.ICMPErrorsSent)
	}
}

// TestGarbage throws everything at the router that scapy's fuzz can think of.
// Whatever it is, it ends once, and the router lives.
func TestGarbage(t *testing.T) {
	privileged(t)
	n := namespace(t, "wire")
	sysctl(t, n, "net/ipv6/conf/default/disable_ipv6=1")
	d := start(t, wireConfig)
	w := startWire(t, "red", "blue")
	for _, packet := range []string{
		`[bytes(fuzz(IPv6(dst="2001:db8:2::2")/UDP()))[:1500] for _ in range(400)]`,
		`[bytes(fuzz(IPv6(` + from + `)/ICMPv6EchoRequest()))[:1500] for _ in range(400)]`,
		`[bytes(IPv6(` + from + `, dst="2001:db8:1::1", nh=n)/os.urandom(n)) for n in range(256)]`,
		`[bytes(IPv6(` + from + `, dst="2001:db8:2::2", nh=n)/os.urandom(n)) for n in range(256)]`,
		`[os.urandom(n) for n in range(1, 600)]`,
		`[b"\x60" + os.urandom(n) for n in range(0, 600)]`,
	} {
		before, err := d.Counters(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, sent := w.send(packet, 1)
		d.awaitReceived(before.Received + uint64(sent) + 1)
	}
}
