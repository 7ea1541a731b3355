package bras

import (
	"testing"

	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

// start starts a server on a line in a namespace of its own.
func start(t *testing.T, options Options) (*Server, *dialer) {
	t.Helper()
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	options.Namespace = namespace(t, "r6t-line")
	s := Start(t, options)
	return s, newDialer(t, options.Namespace, "line")
}

func namespace(t *testing.T, name string) *netlab.Namespace {
	t.Helper()
	ns, err := netlab.NewNamespace(name)
	check(t, err)
	t.Cleanup(func() { check(t, ns.Delete()) })
	return ns
}

func isPADT(f frame) bool    { return f.code == padt }
func isTermReq(f frame) bool { return f.protocol == lcp && f.ppp == termReq }

// Each way of dropping is seen on the wire for what it is, and the server takes
// the next session.
func TestDrops(t *testing.T) {
	s, d := start(t, Options{})

	d.dial()
	if got := s.Sessions(); len(got) != 1 || got[0] != (Session{d.id, "02:00:00:00:00:01"}) {
		t.Errorf("sessions = %v, want %#04x of 02:00:00:00:00:01", got, d.id)
	}
	s.Terminate()
	f := d.expect("Terminate-Request", isTermReq)
	d.sendPPP(lcp, termAck, f.payload[3], nil)
	d.expect("PADT", isPADT)

	d.dial()
	s.PADT()
	if f := d.expect("PADT", func(f frame) bool { return isPADT(f) || isTermReq(f) }); !isPADT(f) {
		t.Error("the session ended with a Terminate-Request, want a PADT")
	}

	d.dial()
	s.Forget()
	if !d.ignored() {
		t.Error("a forgotten session answers")
	}
	if got := s.Sessions(); len(got) != 0 {
		t.Errorf("sessions = %v, want none", got)
	}

	d.dial()
	s.Silence(true)
	if !d.ignored() {
		t.Error("the server answers in silence")
	}
	s.Silence(false)
	if !d.echoed() {
		t.Error("the session did not survive the silence")
	}
	s.Freeze(true)
	if !d.ignored() {
		t.Error("the server answers, frozen")
	}
	s.Freeze(false)
	d.expect("a late echo", func(f frame) bool { return f.ppp == echoReply })
}

// A power cut is silent but for the carrier; the next server is the same one.
func TestPowerCut(t *testing.T) {
	s, d := start(t, Options{Name: "phoenix"})
	d.dial()
	s.PowerCut()
	l, err := s.options.Namespace.Link("line")
	check(t, err)
	if l.Carrier {
		t.Error("the line has carrier without power")
	}
	s.PowerOn()
	if !d.ignored() {
		t.Error("a session survived the power cut")
	}
	d.dial()
}

// A line that is down has no carrier, and works again after that, whatever the server
// has sent meanwhile.
func TestLinkDown(t *testing.T) {
	s, d := start(t, Options{})
	d.dial()
	s.LinkDown()
	l, err := s.options.Namespace.Link("line")
	check(t, err)
	if l.Up || l.Carrier {
		t.Errorf("the line is %+v, want it down", l)
	}
	s.Run("ip address add 192.0.2.1/24 dev vec0 && ip neighbor add 192.0.2.2 lladdr 02:00:00:00:00:77 dev vec0 && " +
		"{ ping -c 20 -i 0.01 -W 1 192.0.2.2 >/dev/null; true; }")
	s.LinkUp()
	d.open("line") // its sockets say that it was down
	if !d.echoed() {
		t.Error("the session did not survive")
	}
}
