package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/netlab"
)

// inBand offers all services on one link, whatever it is.
const inBand = `
services:
  http: {interfaces: [red]}
  echo: {interfaces: [red]}
  discard: {interfaces: [red]}
  chargen: {interfaces: [red]}
interfaces:
  red:
    type: TYPE
    addresses: [2001:db8:1::1/64]
    kernel: {netns: red, addresses: [2001:db8:1::2/64], routes: ["::/0"]}
  blue:
    addresses: [2001:db8:2::1/64]
    kernel: {netns: blue, addresses: [2001:db8:2::2/64], routes: ["::/0"]}
`

const inBandAddr = "2001:db8:1::1"

// The router's own TCP serves the kernel's, on links with frames and without.
func TestServices(t *testing.T) {
	privileged(t)
	for _, kind := range []string{"tun", "tap"} {
		t.Run(kind, func(t *testing.T) {
			red, blue := namespace(t, "red"), namespace(t, "blue")
			d := start(t, strings.ReplaceAll(inBand, "TYPE", kind))
			reaches(t, red, inBandAddr)
			reaches(t, blue, inBandAddr)
			t.Run("the API is there to be read", func(t *testing.T) {
				run(t, red, "curl", "-sfg", "http://[2001:db8:1::1]/v1/interfaces").want(t, 0, `"name":"red"`)
				run(t, red, "curl", "-sfg", "http://[2001:db8:1::1]/metrics").want(t, 0, "router6d_tcp_connections")
			})
			t.Run("so is the status page", func(t *testing.T) {
				r := run(t, red, "curl", "-sfg", "http://[2001:db8:1::1]/?address=2001:db8:2::9")
				r.want(t, 0, "<td>red", "<td>blue", "<b>forward</b> by blue", "interface attached")
			})
			t.Run("a scan finds what listens", func(t *testing.T) {
				r := run(t, red, "nmap", "-6", "-n", "-Pn", "-sT", "-T5", "-p", "1-100", inBandAddr)
				r.want(t, 0, "7/tcp", "9/tcp", "19/tcp", "80/tcp")
				if n := strings.Count(r.out, " open "); n != 4 {
					t.Errorf("%d ports are open, want 4:\n%s", n, r.out)
				}
			})
			t.Run("and for nothing else", func(t *testing.T) {
				r := run(t, red, "curl", "-sg", "-X", "DELETE", "http://[2001:db8:1::1]/v1/interfaces/red")
				r.want(t, 0, "read-only")
				run(t, red, "curl", "-sfg", "http://[2001:db8:1::1]/v1/capture?interface=red").want(t, 22)
			})
			t.Run("large bodies come back as they went", func(t *testing.T) {
				echoes(t, red, 8<<20)
			})
			t.Run("connections are shown", func(t *testing.T) {
				c := dial(t, red, "["+inBandAddr+"]:7")
				d.cli("show connections").want(t, 0, "["+inBandAddr+"]:7", c.LocalAddr().String(), "established", "peer")
				all, err := d.Connections(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range all {
					if x.Remote.String() == c.LocalAddr().String() && x.Interface == "red" && x.MTU == 1500 && x.HopLimit == 64 {
						return
					}
				}
				t.Errorf("connections = %+v, want one of red's", all)
			})
			t.Run("what has no end is ended", func(t *testing.T) {
				r := run(t, red, "curl", "-s", "--max-time", "1", "-o", "/dev/null", "-w", "%{size_download}", "telnet://["+inBandAddr+"]:19")
				var n int
				if _, err := fmt.Sscan(r.out, &n); err != nil || n < 1<<20 {
					t.Errorf("came %q bytes, %v", r.out, err)
				}
			})
			t.Run("another interface finds nobody", func(t *testing.T) {
				r := run(t, blue, "curl", "-sg", "--max-time", "20", "http://[2001:db8:1::1]/v1/interfaces")
				r.want(t, 7) // could not connect
			})
			t.Run("another port too", func(t *testing.T) {
				run(t, red, "curl", "-sg", "--max-time", "20", "http://[2001:db8:1::1]:81/").want(t, 7)
			})
		})
	}
}

// dial connects from a namespace.
func dial(t *testing.T, n *netlab.Namespace, to string) net.Conn {
	t.Helper()
	var c net.Conn
	err := n.Do(func() (err error) { c, err = net.DialTimeout("tcp6", to, patience); return err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	return c
}

// echoes sends size bytes to the echo service, and wants them back.
func echoes(t *testing.T, n *netlab.Namespace, size int) {
	t.Helper()
	c := dial(t, n, "["+inBandAddr+"]:7")
	want := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(want) // never fails
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(want)
		sent <- err
	}()
	got := make([]byte, size)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("what came back is not what was sent")
	}
}

// A connection of the router's own TCP through a session that ends and returns: while
// there is none it waits, says so, and goes on.
func TestPPPoEServices(t *testing.T) {
	h := newHome(t)
	c := concentrate(t, h.line, h.net)
	socket := filepath.Join(short(t), "sock")
	h.file = file(t, whole(socket, `
services:
  chargen: {interfaces: [wan]}
interfaces:
  line: {type: packet}
  wan: {type: pppoe, user: router6d, password: secret, lower: line}
  red: {addresses: [2001:db8:100:1::1/64], kernel: {netns: r6e-red, addresses: [2001:db8:100:1::2/64], routes: ["::/0"]}}
routes:
  - {prefix: "::/0", dev: wan}
`))
	h.dial(socket)
	h.session(10 * time.Second)
	from := bufio.NewReader(dial(t, h.net, "[2001:db8:100:1::1]:19"))
	line := 0
	read := func(n int) error {
		for range n {
			got, err := from.ReadString('\n')
			if want := chargenLine(line); err != nil || got != want {
				return fmt.Errorf("line %d = %q, want %q: %w", line, got, want, err)
			}
			line++
		}
		return nil
	}
	if err := read(20_000); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.LinkDown()
		h.awaitDown()
		drained := make(chan error, 1)
		go func() { drained <- read(100_000) }() // what was under way, and then what comes after the redial
		eventually(t, "see the connection wait", func() error {
			all, err := h.Connections(t.Context())
			if err == nil && (len(all) != 1 || all[0].WaitsFor == "") {
				err = fmt.Errorf("connections: %+v", all)
			}
			return err
		})
		c.LinkUp()
		h.session(time.Minute)
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
	}
}

// chargenLine is the n-th line of RFC 864.
func chargenLine(n int) string {
	const width, printable = 72, '~' - ' ' + 1
	var b strings.Builder
	for i := range width {
		b.WriteByte(byte(' ' + (n+i)%printable))
	}
	return b.String() + "\r\n"
}
