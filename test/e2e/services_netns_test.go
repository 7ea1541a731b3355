package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/test/lab/bras"
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
			t.Run("a hundred at once are served", func(t *testing.T) {
				r := run(t, red, "curl", "-sf", "-o", "/dev/null", "-w", "%{http_code}\n", "--parallel", "--parallel-immediate", "--parallel-max", "100",
					"http://[2001:db8:1::1]/{,v1/interfaces}?n=[1-50]")
				r.want(t, 0)
				if n := strings.Count(r.out, "200\n"); n != 100 {
					t.Errorf("%d of 100 were served:\n%s", n, r.out)
				}
			})
			t.Run("large uploads are refused before they are through", func(t *testing.T) {
				refusesUploads(t, red, "403", "-g", "http://[2001:db8:1::1]/v1/interfaces")
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

// Services come, change and go with a reload; connections of those that stay go on.
func TestServicesReload(t *testing.T) {
	privileged(t)
	red, blue := namespace(t, "red"), namespace(t, "blue")
	d := start(t, standard)
	reaches(t, red, inBandAddr)
	reaches(t, blue, "2001:db8:2::1")
	refused := func(n *netlab.Namespace, url string) { t.Helper(); run(t, n, "curl", "-sg", url).want(t, 7) }
	page := func(n *netlab.Namespace, url string) {
		t.Helper()
		run(t, n, "curl", "-sfg", url).want(t, 0, "Interfaces")
	}
	const page80, page8080 = "http://[2001:db8:1::1]/", "http://[2001:db8:1::1]:8080/"
	refused(red, page80)
	d.edit("services: {http: {interfaces: [red]}, echo: {interfaces: [red]}}\n" + standard)
	d.cli("reload --dry-run").want(t, 0, "add     service echo: port 7", "add     service http: port 80")
	refused(red, page80)
	d.cli("reload").want(t, 0, "add     service http: port 80")
	page(red, page80)
	refused(blue, page80)
	stays := dial(t, red, "["+inBandAddr+"]:7")

	d.reload("services: {http: {interfaces: [red, blue]}, echo: {interfaces: [blue]}}\n" + standard)
	page(blue, page80)
	if err := echoed(stays, 1<<20); err != nil {
		t.Errorf("a connection of a service that was moved: %v", err)
	}
	refused(red, "http://[2001:db8:1::1]:7/")

	moved := "services: {http: {interfaces: [red], port: 8080}}\n" + standard
	d.edit("services: {http: {interfaces: [red], port: 8080, certificate: /none, key: /none}}\n" + standard)
	d.cli("reload").want(t, 1, "/none")
	page(red, page80)
	refused(red, page8080)
	d.edit("services: {http: {interfaces: [red], port: 8080}, discard: {interfaces: [red], port: 7}}\n" + standard)
	d.cli("reload").want(t, 1, "service discard: listen on port 7: port is taken by another service, which has to be gone first")
	page(blue, page80)
	refused(red, page8080)
	d.reload(moved)
	page(red, page8080)
	refused(red, page80)
	for range 3 { // its port is free at once
		d.reload(standard)
		refused(red, page8080)
		d.reload(moved)
		page(red, page8080)
	}
}

// With TLS, who has the token changes things over the very interfaces.
func TestServicesTLS(t *testing.T) {
	privileged(t)
	dir := t.TempDir()
	cert, key, secret := filepath.Join(dir, "crt"), filepath.Join(dir, "key"), filepath.Join(dir, "token")
	must(t, nil, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-subj", "/CN=router", "-addext", "subjectAltName=IP:"+inBandAddr, "-days", "1", "-keyout", key, "-out", cert)
	const token = "correct horse battery staple"
	if err := os.WriteFile(secret, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	red := namespace(t, "red")
	namespace(t, "blue")
	d := start(t, fmt.Sprintf("services:\n  http: {interfaces: [red], certificate: %s, key: %s, token-file: %s}\n", cert, key, secret)+standard)
	reaches(t, red, inBandAddr)
	curl := func(more ...string) result {
		t.Helper()
		return run(t, red, append([]string{"curl", "-sfg", "--cacert", cert}, more...)...)
	}
	const url = "https://[2001:db8:1::1]"
	curl(url+"/v1/interfaces").want(t, 0, `"name":"blue"`)
	curl("-X", "DELETE", url+"/v1/interfaces/blue").want(t, 22)
	curl("-X", "DELETE", "-H", "Authorization: Bearer wrong horse", url+"/v1/interfaces/blue").want(t, 22)
	if _, err := d.find("blue"); err != nil {
		t.Errorf("an interface has gone without the token: %v", err)
	}
	refusesUploads(t, red, "413", "-g", "--cacert", cert, "-H", "Authorization: Bearer "+token, url+"/v1/interfaces")
	flood := spawn(t, red, "ping", "-q", "-f", "-s", "1400", blueAddr)
	packets := filepath.Join(dir, "pcapng")
	curl("-H", "Authorization: Bearer "+token, "-o", packets, url+"/v1/capture?interface=blue&count=5000").want(t, 0)
	flood.kill()
	if n := len(tshark(t, packets, "icmpv6 && frame.len > 1400", "frame.number")); n < 4900 { // some are of others
		t.Errorf("%d packets of the flood have come, want about 5000", n)
	}
	curl("-X", "DELETE", "-H", "Authorization: Bearer "+token, url+"/v1/interfaces/blue").want(t, 0, `"result":"clean"`)
	if _, err := d.find("blue"); err == nil {
		t.Error("the interface is still there")
	}
}

// refusesUploads wants an answer to each large upload, whether the client asks before
// it sends or not, tells the length or not, and curl to be content: no reset.
func refusesUploads(t *testing.T, n *netlab.Namespace, code string, args ...string) {
	t.Helper()
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, how := range [][]string{{}, {"-H", "Expect:"}, {"-H", "Expect:", "-H", "Transfer-Encoding: chunked"}} {
		words := slices.Concat([]string{"curl", "-s", "-w", "%{http_code}", "--data-binary", "@" + large}, how, args)
		run(t, n, words...).want(t, 0, `{"error":`, code)
	}
}

// Clients that do not send, or do not take, what they should, are ended in-band by the
// same times as anywhere, and others are served.
func TestServicesSlowClients(t *testing.T) {
	privileged(t)
	red := namespace(t, "red")
	namespace(t, "blue")
	d := start(t, strings.ReplaceAll(inBand, "TYPE", "tun"))
	reaches(t, red, inBandAddr)
	const http = "[" + inBandAddr + "]:80"
	slow, silent, greedy := dial(t, red, http), dial(t, red, http), dial(t, red, http)
	for c, text := range map[net.Conn]string{
		slow:   "GET / HTTP/1.1\r\n",
		silent: "GET /metrics HTTP/1.1\r\nHost: router\r\nContent-Length: 10\r\n\r\n",
		greedy: strings.Repeat("GET /metrics HTTP/1.1\r\nHost: router\r\n\r\n", 10_000),
	} {
		_ = c.SetDeadline(time.Time{})
		go func() { _, _ = io.WriteString(c, text) }() // not all of it is taken
	}
	// ended reports whether the router has no such connection, or one that is closing.
	ended := func(c net.Conn) bool {
		all, err := d.Connections(t.Context())
		return err == nil && !slices.ContainsFunc(all, func(x control.Connection) bool {
			return x.Remote.String() == c.LocalAddr().String() && (x.State == "established" || x.State == "close-wait")
		})
	}
	go func() { _, _ = io.Copy(io.Discard, silent) }()
	go func() { _, _ = io.Copy(io.Discard, slow) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for over := false; !over; {
		<-tick.C
		_, _ = io.WriteString(slow, "x") // a byte a second; it may have ended
		run(t, red, "curl", "-sfg", "-o", "/dev/null", "http://"+http+"/metrics").want(t, 0)
		over = ended(slow) && ended(silent) && ended(greedy)
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
	if err := echoed(dial(t, n, "["+inBandAddr+"]:7"), size); err != nil {
		t.Fatal(err)
	}
}

// echoed sends size bytes, and wants them back.
func echoed(c net.Conn, size int) error {
	want := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(want) // never fails
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(want)
		sent <- err
	}()
	got := make([]byte, size)
	if _, err := io.ReadFull(c, got); err != nil {
		return err // the writer ends with the connection
	}
	if err := <-sent; err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("what came back is not what was sent")
	}
	return nil
}

// Connections of the router's own TCP through a session that ends and returns: while
// there is none they wait, say so, and go on. What came is what was sent.
func TestPPPoEServices(t *testing.T) {
	t.Run("real server", func(t *testing.T) {
		h := newHome(t)
		h.servesThrough(bras.Start(t, bras.Options{Auth: bras.CHAP, Namespace: h.line, Uplink: h.net}), 1)
	})
	t.Run("our own concentrator", func(t *testing.T) {
		h := newHome(t)
		h.servesThrough(concentrate(t, h.line, h.net), 3)
	})
}

func (s *home) servesThrough(line dropper, drops int) {
	s.t.Helper()
	socket := filepath.Join(short(s.t), "sock")
	s.file = file(s.t, whole(socket, `
services:
  chargen: {interfaces: [wan]}
  echo: {interfaces: [wan]}
interfaces:
  line: {type: packet}
  wan: {type: pppoe, user: router6d, password: secret, lower: line}
  red: {addresses: [2001:db8:100:1::1/64], kernel: {netns: r6e-red, addresses: [2001:db8:100:1::2/64], routes: ["::/0"]}}
routes:
  - {prefix: "::/0", dev: wan}
`))
	s.dial(socket)
	s.session(10 * time.Second)
	from := lineReader{Reader: bufio.NewReader(dial(s.t, s.net, "[2001:db8:100:1::1]:19"))}
	echo := dial(s.t, s.net, "[2001:db8:100:1::1]:7")
	if err := errors.Join(from.read(20_000), echoed(echo, 1<<20)); err != nil {
		s.t.Fatal(err)
	}
	for range drops {
		line.LinkDown()
		s.awaitDown()
		drained, back := make(chan error, 1), make(chan error, 1)
		go func() { drained <- from.read(100_000) }() // what was under way, and then what comes after the redial
		go func() { back <- echoed(echo, 1<<20) }()
		eventually(s.t, "see a connection wait", func() error {
			all, err := s.Connections(s.t.Context())
			if err == nil && !slices.ContainsFunc(all, func(c control.Connection) bool { return c.WaitsFor != "" }) {
				err = fmt.Errorf("connections: %+v", all)
			}
			return err
		})
		line.LinkUp()
		s.session(time.Minute)
		if err := errors.Join(<-drained, <-back); err != nil {
			s.t.Fatal(err)
		}
	}
}

// A lineReader reads what chargen sends.
type lineReader struct {
	*bufio.Reader
	line int
}

// read reads n lines, and wants each to be the right one.
func (r *lineReader) read(n int) error {
	for range n {
		got, err := r.ReadString('\n')
		if want := chargenLine(r.line); err != nil || got != want {
			return fmt.Errorf("line %d = %q, want %q: %w", r.line, got, want, err)
		}
		r.line++
	}
	return nil
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
