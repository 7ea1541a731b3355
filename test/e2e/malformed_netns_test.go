package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// malformed is what polite hosts never send, as scapy expressions: one for each
// reason for which a message is discarded. The sender is b, on eth0.
var malformed = map[string]string{
	"hop_limit":    "IPv6(src=src, dst=group, hlim=254)/ICMPv6ND_NS(tgt=router)/lla",
	"code":         "IPv6(src=src, dst=group, hlim=255)/ICMPv6ND_NS(tgt=router, code=1)/lla",
	"length":       "IPv6(src=src, dst=group, hlim=255, nh=58)/ICMPv6Unknown(type=135, code=0, msgbody=b'\\0' * 12)",
	"option":       "IPv6(src=src, dst=group, hlim=255)/ICMPv6ND_NS(tgt=router)/ICMPv6NDOptUnknown(type=1, len=0, data=b'\\2\\0\\0\\0\\0\\1')",
	"link_layer":   "IPv6(src=src, dst=group, hlim=255)/ICMPv6ND_NS(tgt=router)/ICMPv6NDOptSrcLLAddr(lladdr='33:33:00:00:00:01')",
	"target":       "IPv6(src=src, dst=group, hlim=255)/ICMPv6ND_NS(tgt='ff02::1')/lla",
	"source":       "IPv6(src=src, dst='ff02::1', hlim=255)/ICMPv6ND_RA()/lla",
	"unspecified":  "IPv6(src='::', dst=group, hlim=255)/ICMPv6ND_NS(tgt=router)/lla",
	"solicited":    "IPv6(src=src, dst='ff02::1', hlim=255)/ICMPv6ND_NA(tgt=src, R=0, S=1, O=1)/ICMPv6NDOptDstLLAddr(lladdr=mac)",
	"fragmented":   "IPv6(src=src, dst=group, hlim=255)/IPv6ExtHdrFragment()/ICMPv6ND_NS(tgt=router)/lla",
	"router_alert": "IPv6(src='fe80::bad', dst='ff02::1', hlim=1)/ICMPv6MLQuery()",
	"group":        "IPv6(src='fe80::bad', dst='ff02::1', hlim=1)/IPv6ExtHdrHopByHop(options=[RouterAlert()])/ICMPv6MLQuery(mladdr=src)",
}

const malformedScript = `
import logging, sys
logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.all import *
conf.verb = 0
src, group, router, mac = "2001:db8:10::b", "ff02::1:ff00:1", "2001:db8:10::1", "02:00:00:00:0b:0b"
lla = ICMPv6NDOptSrcLLAddr(lladdr=mac)
for line in sys.stdin:
    packet = eval(line)
    to = "33:33:ff:00:00:01" if packet[IPv6].dst == group else "33:33:00:00:00:01"
    sendp(Ether(src=mac, dst=to)/packet, iface="eth0", count=3)
    print("sent", line, end="", flush=True)
`

// Each malformed message of scapy's is counted by what is wrong with it, is learned
// nothing from, and is not answered.
func TestMalformedDiscovery(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	d := startLAN(t, asTAP)
	scapy := prepare(t, "ip", "netns", "exec", "b", "/usr/bin/python3", "-c", malformedScript) // it starts slowly
	packets, err := scapy.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	scapy.start()
	for reason, packet := range malformed {
		before := d.lan(t).Invalid[reason]
		if _, err := fmt.Fprintln(packets, packet); err != nil {
			t.Fatalf("%s: %v\n%s", packet, err, scapy.errout.String())
		}
		eventually(t, "send "+packet, func() error {
			if !strings.Contains(scapy.out.String(), "sent "+packet+"\n") {
				return errors.New(scapy.out.String() + scapy.errout.String())
			}
			return nil
		})
		ping(t, l.a, lanRouter).want(t, 0, "1 received") // behind them
		if got := d.lan(t).Invalid[reason] - before; got != 3 {
			t.Errorf("%s: %d counted, want 3, of %v", reason, got, d.lan(t).Invalid)
		}
	}
	for _, n := range d.lan(t).Neighbors {
		if n.Address.String() == hostB && n.MAC == "02:00:00:00:0b:0b" || strings.HasSuffix(n.Address.String(), ":bad") {
			t.Errorf("learned %+v", n)
		}
	}
}
