package bras

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

// Packets from the uplink to the customer leave in his session.
func TestUplink(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	internet := namespace(t, "r6t-internet")
	line := namespace(t, "r6t-line")
	Start(t, Options{Namespace: line, Uplink: internet})
	d := newDialer(t, line, "line")
	d.dial()
	d.agree(ipv6cp, []byte{1, 10, 0, 0, 0, 0, 0, 0, 0, 1})
	payload := []byte("from the Internet")
	deadline := time.Now().Add(10 * time.Second)
	for {
		// The route comes when pppd has run ipv6-up.
		check(t, sendUDP(internet.Do, netip.AddrPortFrom(Customer.Addr().Next(), 9), payload))
		f, ok := d.read(time.Now().Add(100 * time.Millisecond))
		switch {
		case ok && f.protocol == ipv6 && bytes.HasSuffix(f.payload, payload):
			return
		case time.Now().After(deadline):
			t.Fatal("nothing comes in the session")
		}
	}
}

// The uplink carries TCP, whose sender would rather send superframes.
func TestUplinkCarriesTCP(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	internet := namespace(t, "r6t-internet")
	s := Start(t, Options{Namespace: namespace(t, "r6t-line"), Uplink: internet})
	s.Run("iperf3 -s -1 >/dev/null 2>&1 & until grep -q :1451 /proc/net/tcp6; do sleep 0.02; done") // port 5201
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	check(t, internet.Do(func() error {
		said, err := exec.CommandContext(ctx, "iperf3", "-c", Host.String(), "-n", "4M").CombinedOutput()
		if err != nil {
			return fmt.Errorf("iperf3: %w\n%s", err, said)
		}
		return nil
	}))
}

// IPCP is there when it is asked for.
func TestIPv4(t *testing.T) {
	_, d := start(t, Options{IPv4: true})
	d.dial()
	f := d.expect("IPCP", func(f frame) bool { return f.protocol == ipcp && f.ppp == confReq })
	if got := netip.AddrFrom4([4]byte(options(f.payload)[3])); got != Host4 {
		t.Errorf("the server's address is %v, want %v", got, Host4)
	}
}

// sendUDP sends a datagram from where enter runs it.
func sendUDP(enter func(func() error) error, to netip.AddrPort, payload []byte) error {
	return enter(func() error {
		c, err := net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		_, err = c.Write(payload)
		return errors.Join(err, c.Close())
	})
}
