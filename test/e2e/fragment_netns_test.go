package e2e

import (
	"strconv"
	"strings"
	"testing"

	"github.com/router6d/router6d/internal/netlab"
)

// TestPingInFragments has the kernel and the router put together what the other
// has cut: ping compares the bytes.
//
// Proves:
//   - RFC 8200 §4.5 reassembled-length
//   - RFC 8200 §4.5 fits-the-path
//   - RFC 8200 §4.5 multiple-of-8
//   - RFC 8200 §4.5 no-overlap-made
//   - RFC 8200 §5 reassembles-1500
//   - RFC 8200 §5 fragments-own
//   - RFC 4443 §4.2 reply-data
func TestPingInFragments(t *testing.T) {
	privileged(t)
	red, _ := namespace(t, "red"), namespace(t, "blue")
	d := start(t, standard)
	reaches(t, red, "2001:db8:1::1")
	for _, c := range []struct{ name, to, from, size string }{
		{"a little more than fits", "2001:db8:1::1", "2001:db8:1::1", "1453"},
		{"much", "2001:db8:1::1", "2001:db8:1::1", "60000"},
		{"all that a packet can have", "2001:db8:2::1", "2001:db8:2::1", "65527"},
		{"to the link-local address", linkLocal(t, d, "red") + "%red", linkLocal(t, d, "red"), "5000"},
		{"to a group", "ff02::2%red", linkLocal(t, d, "red"), "5000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := snmp(t, red, "Ip6ReasmOKs")
			n, err := strconv.Atoi(c.size)
			if err != nil {
				t.Fatal(err)
			}
			r := ping(t, red, c.to, "-c", "3", "-i", "0.01", "-M", "dont", "-s", c.size)
			r.want(t, 0, strconv.Itoa(n+8)+" bytes from "+c.from, "3 received")
			if strings.Contains(r.out, "wrong data") {
				t.Errorf("ping says\n%s", r.out)
			}
			if got := snmp(t, red, "Ip6ReasmOKs") - before; got != 3 {
				t.Errorf("the kernel has put together %d replies, want 3", got)
			}
		})
	}
	for reason, n := range d.drops() {
		if n != 0 && reason != "local_ignored" { // what kernels say of themselves
			t.Errorf("%s = %d, want 0", reason, n)
		}
	}
}

// TestFragmentsOfScapy is what others make of a packet, in another order.
//
// Proves:
//   - RFC 8200 §4.5 same-key
func TestFragmentsOfScapy(t *testing.T) {
	privileged(t)
	n := namespace(t, "wire")
	sysctl(t, n, "net/ipv6/conf/default/disable_ipv6=1")
	start(t, wireConfig)
	w := startWire(t, "red", "blue")
	answers, sent := w.send(`fragment6(`+here+`/IPv6ExtHdrFragment(id=7)/UDP(sport=9, dport=9)/bytes(3000), 1280)[::-1]`, 1)
	// What is whole is answered when its batch is through, perhaps behind the mark.
	more, _ := w.send(here+`/ICMPv6EchoReply()`, 1)
	answers = append(answers, more...)
	if sent < 3 || len(answers) != 1 || answers[0].Type != 1 || answers[0].Code != 4 || !answers[0].ChecksumOK || answers[0].Len != 1280 {
		t.Errorf("answers to %d fragments = %+v, want one: port unreachable", sent, answers)
	}
}

// snmp is a counter of the kernel's IPv6.
func snmp(t *testing.T, n *netlab.Namespace, name string) int {
	t.Helper()
	for line := range strings.Lines(must(t, n, "cat", "/proc/net/snmp6")) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			v, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("the kernel does not count %s", name)
	return 0
}
