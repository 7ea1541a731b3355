package bras

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

// The server demands what it is told to, and knows who may dial in.
func TestAuth(t *testing.T) {
	s, d := start(t, Options{Auth: MSCHAPv2})
	d.dial()
	if got, want := d.wanted[optionAuth], []byte{0xc2, 0x23, 0x81}; !bytes.Equal(got, want) {
		t.Errorf("it demands %x, want MS-CHAPv2, %x", got, want)
	}

	s.SetAuth(PAP)
	d.dial()
	if got, want := d.wanted[optionAuth], []byte{0xc0, 0x23}; !bytes.Equal(got, want) {
		t.Errorf("it demands %x, want PAP, %x", got, want)
	}
	d.sendPPP(pap, 1, 1, []byte("\x08router6d\x06secret"))
	if f := d.expect("an answer to PAP", func(f frame) bool { return f.protocol == pap }); f.ppp != 2 {
		t.Errorf("PAP is answered by %d, want Authenticate-Ack, 2", f.ppp)
	}
	s.SetSecret("somebody", "other")
	d.dial()
	d.sendPPP(pap, 1, 1, []byte("\x08router6d\x06secret"))
	if f := d.expect("an answer to PAP", func(f frame) bool { return f.protocol == pap }); f.ppp != 3 {
		t.Errorf("the old password is answered by %d, want Authenticate-Nak, 3", f.ppp)
	}

	s.SetAuth(CHAP)
	for secret, want := range map[string]byte{"other": 3, "secret": 4} { // Success, Failure
		d.dial()
		if got, want := d.wanted[optionAuth], []byte{0xc2, 0x23, 0x05}; !bytes.Equal(got, want) {
			t.Errorf("it demands %x, want CHAP with MD5, %x", got, want)
		}
		d.respond("somebody", secret)
		f := d.expect("an answer to CHAP", func(f frame) bool { return f.protocol == chap && f.ppp != 1 })
		if f.ppp != want {
			t.Errorf("password %s is answered by %d, want %d", secret, f.ppp, want)
		}
	}
}

// respond answers a challenge of CHAP with MD5, RFC 1994.
func (d *dialer) respond(user, secret string) {
	d.t.Helper()
	f := d.expect("a challenge", func(f frame) bool { return f.protocol == chap && f.ppp == 1 })
	id, value := f.payload[3], f.payload[7:][:f.payload[6]]
	sum := md5.Sum(append(append([]byte{id}, secret...), value...))
	d.sendPPP(chap, 2, id, append(append([]byte{16}, sum[:]...), user...))
}

// The server answers a PADI for its services alone, with its name.
func TestNames(t *testing.T) {
	_, d := start(t, Options{Name: "ac one", Services: []string{"gold", "silver"}})
	if got := d.discover(1, time.Second, tag(serviceName, "lead")); len(got) != 0 {
		t.Errorf("service lead is offered: %+v", got)
	}
	offers := d.discover(1, patient, tag(serviceName, "silver"))
	if len(offers) != 1 {
		t.Fatal("service silver is not offered")
	}
	if got, _ := find(offers[0].payload, acName); got != "ac one" {
		t.Errorf("the AC's name is %q, want %q", got, "ac one")
	}
	d.dial(tag(serviceName, "silver"))
}

// Sessions are in their VLAN, and nowhere else.
func TestVLAN(t *testing.T) {
	s, d := start(t, Options{VLAN: 7})
	if got := d.discover(1, time.Second, tag(serviceName, "")); len(got) != 0 {
		t.Errorf("there is an offer outside of the VLAN: %+v", got)
	}
	d.vlan = 7
	d.dial()
	if !d.echoed() {
		t.Error("no echo in the VLAN")
	}
	s.PADT()
	d.expect("PADT", isPADT)
}

// A line of 1508 has room for sessions of 1500; others have 1492.
func TestMTU(t *testing.T) {
	t.Run("1492", func(t *testing.T) {
		_, d := start(t, Options{})
		d.dial()
		if got, want := d.wanted[optionMRU], []byte{1492 >> 8, 1492 & 0xff}; !bytes.Equal(got, want) {
			t.Errorf("MRU = %x, want %x", got, want)
		}
		if !d.echoes(1492, patient) {
			t.Error("no echo of 1492 bytes")
		}
	})
	t.Run("1500", func(t *testing.T) {
		_, d := start(t, Options{MTU: 1508})
		confirmed := d.request(tag(serviceName, ""), tag(maxPayload, "\x05\xdc"))
		if got, _ := find(confirmed.payload, maxPayload); got != "\x05\xdc" {
			t.Errorf("PPP-Max-Payload = %x, want %x", got, 1500)
		}
		d.negotiate()
		if got, differs := d.wanted[optionMRU]; differs {
			t.Errorf("MRU = %x, want the default, 1500", got)
		}
		if !d.echoes(1500, patient) {
			t.Error("no echo of 1500 bytes")
		}
	})
}

// Two servers on one Ethernet both answer.
func TestTwoServers(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	ns := namespace(t, "r6t-line")
	one := Start(t, Options{Namespace: ns, Link: "one", Name: "one"})
	two := Start(t, Options{Namespace: ns, Link: "two", Name: "two"})
	client := namespace(t, "r6t-client")
	check(t, netlab.Connect(client, "wan", ns, "three"))
	check(t, ns.AddBridge(t.Context(), "ether", "one", "two", "three"))
	d := newDialer(t, client, "wan")
	names := map[string]string{}
	for _, offer := range d.discover(2, patient, tag(serviceName, "")) {
		name, _ := find(offer.payload, acName)
		names[name] = hardware(offer.from)
	}
	if len(names) != 2 || names["one"] != one.MAC() || names["two"] != two.MAC() {
		t.Errorf("offers are from %v, want one and two", names)
	}
}

func hardware(b []byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5])
}

// The line is as bad as one wants it, in both directions, from the start and later.
func TestImpair(t *testing.T) {
	s, d := start(t, Options{Impair: Impairment{Delay: 100 * time.Millisecond}, Echo: time.Hour})
	d.dial()
	sent := time.Now()
	if !d.echoed() {
		t.Error("no echo over a slow line")
	}
	if took := time.Since(sent); took < 200*time.Millisecond {
		t.Errorf("the echo took %v, want 200 ms", took)
	}

	s.Impair(Impairment{Loss: 50})
	const bursts, sends = 10, 20 // the kernel keeps 32 packets for a pppd that is late
	came := 0
	for range bursts {
		for range sends {
			d.sendPPP(lcp, echoReq, 9, make([]byte, 4))
		}
		came += d.echoReplies(200 * time.Millisecond)
	}
	came += d.echoReplies(2 * time.Second)
	// A quarter, give or take five deviations.
	if came < 20 || came > 80 {
		t.Errorf("%d of %d echoes came over a line that loses half each way, want 50", came, bursts*sends)
	}
	s.Impair(Impairment{})
	for range 20 {
		if !d.echoed() {
			t.Fatal("an echo is lost on a good line")
		}
	}
}

// echoReplies counts those that come until there is nothing for a while.
func (d *dialer) echoReplies(quiet time.Duration) (n int) {
	d.t.Helper()
	for {
		f, ok := d.read(time.Now().Add(quiet))
		if !ok {
			return n
		}
		if f.protocol == lcp && f.ppp == echoReply {
			n++
		}
	}
}
