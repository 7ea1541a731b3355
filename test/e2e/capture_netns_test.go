package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/capture"
	"github.com/router6d/router6d/internal/netlab"
)

// captured runs while packets are written to its file.
func (d *daemon) captured(iface string, options ...string) (p *process, file string) {
	d.t.Helper()
	file = filepath.Join(d.t.TempDir(), "capture.pcapng")
	args := append([]string{binary(d.t), "capture", iface, "--write", file, "--socket", d.socket}, options...)
	p = spawn(d.t, nil, args...)
	p.says("capture begun")
	return p, file
}

// says waits until the process says so on its standard error.
func (p *process) says(text string) {
	p.t.Helper()
	eventually(p.t, "wait for "+text, func() error {
		if strings.Contains(p.errout.String(), text) {
			return nil
		}
		if err := p.running(); err != nil {
			p.t.Fatal(err)
		}
		return errors.New(p.errout.String())
	})
}

var summary = regexp.MustCompile(`(?m)^(\d+) packets captured, (\d+) lost$`)

// finished waits for the end of a capture and returns its numbers.
func (p *process) finished() (packets, lost int) {
	p.t.Helper()
	r := p.wait()
	n := summary.FindStringSubmatch(r.errout)
	if r.code != 0 || n == nil {
		p.t.Fatalf("%s: exit code %d: %s", r.command, r.code, r.errout)
	}
	packets, _ = strconv.Atoi(n[1]) // digits
	lost, _ = strconv.Atoi(n[2])
	return packets, lost
}

// tshark reads fields of those packets of a capture that a filter wants.
func tshark(t *testing.T, file, filter string, fields ...string) []string {
	t.Helper()
	args := []string{"tshark", "-r", file, "-Y", filter, "-T", "fields", "-E", "separator=|"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	return lines(must(t, nil, args...))
}

// TestCapture reads with tshark what ping has done.
func TestCapture(t *testing.T) {
	privileged(t)
	red, _ := namespace(t, "red"), namespace(t, "blue")
	d := start(t, refusals)
	reaches(t, red, blueAddr)
	all, file := d.captured("red")
	drops, dropsFile := d.captured("red", "--drops", "--count", "3")
	short, shortFile := d.captured("blue", "--snaplen", "44", "--count", "2")
	ping(t, red, blueAddr, "-s", "1000")
	ping(t, red, blueAddr, "-t", "1")
	ping(t, red, "2001:db8:f001::1")
	ping(t, red, "2001:db8:f002::1", "-W", "1")
	if n, lost := drops.finished(); n != 3 || lost != 0 {
		t.Errorf("drops: %d captured, %d lost, want 3, 0", n, lost)
	}
	if n, lost := short.finished(); n != 2 || lost != 0 {
		t.Errorf("short: %d captured, %d lost, want 2, 0", n, lost)
	}
	all.signal(unix.SIGINT)
	if n, lost := all.finished(); n < 7 || lost != 0 {
		t.Errorf("all: %d captured, %d lost, want 7 or more, 0", n, lost)
	}
	const (
		icmp     = "icmpv6.type in {1, 3, 128, 129}"
		hopLimit = "hop_limit: hop limit used up; answered: time exceeded"
		prohibit = "prohibited: prohibit route; answered: administratively prohibited"
		black    = "blackhole: blackhole route"
	)
	fields := []string{"frame.packet_flags_direction", "icmpv6.type", "frame.comment"}
	if diff := cmp.Diff([]string{
		"0x00000001|128|", "0x00000002|129|",
		"0x00000001|128|" + hopLimit, "0x00000002|3,128|",
		"0x00000001|128|" + prohibit, "0x00000002|1,128|",
		"0x00000001|128|" + black,
	}, tshark(t, file, icmp, fields...)); diff != "" {
		t.Errorf("capture of red (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"0x00000001|128|" + hopLimit, "0x00000001|128|" + prohibit, "0x00000001|128|" + black,
	}, tshark(t, dropsFile, "ipv6", fields...)); diff != "" {
		t.Errorf("drops of red (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"0x00000002|44|1048|63", "0x00000001|44|1048|64",
	}, tshark(t, shortFile, "ipv6", "frame.packet_flags_direction", "frame.cap_len", "frame.len", "ipv6.hlim")); diff != "" {
		t.Errorf("capture of blue (-want +got):\n%s", diff)
	}
}

// TestCaptureOfEthernet sees the packets of ports with frames, without those, and what
// is a VLAN's on that; and a resolution, solicitation first.
func TestCaptureOfEthernet(t *testing.T) {
	privileged(t)
	for name, kind := range map[string]string{"tap": asTAP, "packet": asQueues} {
		t.Run(name, func(t *testing.T) {
			l := newLAN(t)
			c := l.plug(t, "c", "guests", "2001:db8:7::1", 0x8100_0007)
			d := startVLANs(t, kind)
			reaches(t, l.red, hostA) // its switch forwards
			reaches(t, c.Namespace, redAddr)
			lan, lanFile := d.captured("lan")
			guests, guestsFile := d.captured("guests")
			reaches(t, l.red, hostB)
			ping(t, c.Namespace, redAddr).want(t, 0, "1 received")
			for _, p := range []*process{lan, guests} {
				p.signal(unix.SIGINT)
				if n, lost := p.finished(); n == 0 || lost > 0 {
					t.Errorf("%d captured, %d lost", n, lost)
				}
			}
			got := tshark(t, lanFile, "icmpv6.nd.ns.target_address == "+hostB+" or icmpv6.nd.na.target_address == "+hostB+
				" or (icmpv6.type in {128, 129} and ipv6.addr == "+hostB+")", "frame.packet_flags_direction", "icmpv6.type")
			want := []string{"0x00000002|135", "0x00000001|136", "0x00000002|128", "0x00000001|129"}
			if diff := cmp.Diff(want, got[:min(len(want), len(got))]); diff != "" {
				t.Errorf("capture of lan (-want +got):\n%s", diff)
			}
			got = tshark(t, guestsFile, "icmpv6.type in {128, 129}", "frame.packet_flags_direction", "icmpv6.type", "ipv6.src")
			if diff := cmp.Diff([]string{"0x00000001|128|" + c.addr, "0x00000002|129|" + redAddr}, got); diff != "" {
				t.Errorf("capture of guests (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCaptureOfIperf has a file of many superframes that tshark reads to its end.
func TestCaptureOfIperf(t *testing.T) {
	privileged(t)
	red, blue := namespace(t, "red"), namespace(t, "blue")
	d := start(t, standard)
	reaches(t, red, blueAddr)
	server(t, blue)
	p, file := d.captured("red", "--snaplen", "100")
	must(t, red, "iperf3", "-c", blueAddr, "-n", "200M")
	p.signal(unix.SIGINT)
	n, lost := p.finished()
	t.Logf("%d packets captured, %d lost", n, lost)
	if got := len(tshark(t, file, "tcp.port == 5201", "frame.len")); got > n || got < n*9/10 {
		t.Errorf("tshark finds %d packets of iperf3 among %d", got, n)
	}
	if len(tshark(t, file, "frame.len > 10000", "frame.len")) == 0 {
		t.Error("no superframe was captured")
	}
}

// TestCaptureOnATerminal prints a line each.
func TestCaptureOnATerminal(t *testing.T) {
	privileged(t)
	red, _ := namespace(t, "red"), namespace(t, "blue")
	d := start(t, standard)
	reaches(t, red, blueAddr)
	p := spawn(t, nil, "script", "-qec", binary(t)+" capture red --drops --count 1 --socket "+d.socket, "/dev/null")
	eventually(t, "wait for the capture", func() error {
		if err := p.running(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(p.out.String(), "capture begun") { // the terminal is both
			return errors.New(p.out.String())
		}
		return nil
	})
	ping(t, red, "2001:db8:ffff::1")
	p.wait().want(t, 0, " in  2001:db8:1::2 > 2001:db8:ffff::1 ICMPv6 echo request, id ",
		"hop limit 64, dropped no_route: no route; answered: no route", "1 packets captured, 0 lost")
}

// TestCaptureEnds with its interface, which nobody holds up, and is refused where
// there is none or are too many.
func TestCaptureEnds(t *testing.T) {
	privileged(t)
	red, _ := namespace(t, "red"), namespace(t, "blue")
	d := start(t, standard)
	reaches(t, red, blueAddr)
	d.cli("capture nix").want(t, 1, "nix: no such interface")
	d.cli("capture").want(t, 2)
	p, file := d.captured("red")
	ping(t, red, blueAddr)
	d.do("interface del red")
	if n, lost := p.finished(); n < 2 || lost != 0 {
		t.Errorf("%d captured, %d lost, want 2 or more, 0", n, lost)
	}
	if got := tshark(t, file, "icmpv6.type == 128", "ipv6.dst"); len(got) != 1 || got[0] != blueAddr {
		t.Errorf("the file of an interface that ended has %v", got)
	}
	var rest []*process
	for range 4 {
		p, _ := d.captured("blue")
		rest = append(rest, p)
	}
	d.cli("capture blue").want(t, 1, "too many captures")
	d.stop()
	for _, p := range rest {
		p.finished()
	}
}

// stalledCapture asks for a capture and reads nothing of it.
func (d *daemon) stalledCapture(t *testing.T, iface string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := fmt.Fprintf(c, "GET /v1/capture?interface=%s HTTP/1.0\r\n\r\n", iface); err != nil {
		t.Fatal(err)
	}
	return c
}

// rest reads a stalled capture to its end.
func rest(t *testing.T, c net.Conn) (packets int, lost uint64) {
	t.Helper()
	if err := c.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(all), "\r\n\r\n")
	r, err := capture.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for ; ; packets++ {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if lost, err = r.Lost(); err != nil {
		t.Fatal(err)
	}
	return packets, lost
}

// TestStalledCapture floods an interface that is captured by who does not read:
// what others send arrives, all of it, the interface ends as if nobody looked, and
// the router stops.
func TestStalledCapture(t *testing.T) {
	privileged(t)
	red, blue, green, gold := namespace(t, "red"), namespace(t, "blue"), namespace(t, "green"), namespace(t, "gold")
	d := start(t, standard+`
  green:
    addresses: [2001:db8:3::1/64]
    kernel: {netns: green, addresses: [2001:db8:3::2/64], routes: ["::/0"]}
  gold:
    addresses: [2001:db8:4::1/64]
    kernel: {netns: gold, addresses: [2001:db8:4::2/64], routes: ["::/0"]}
`)
	reaches(t, red, blueAddr)
	reaches(t, green, "2001:db8:4::2")
	first := server(t, blue)
	probe, err := netlab.StartUDPProbe(t.Context(), netlab.ProbeConfig{
		FromNS: green, From: netip.MustParseAddrPort("[2001:db8:3::2]:0"),
		ToNS: gold, To: netip.MustParseAddrPort("[2001:db8:4::2]:0"), PacketsPerSecond: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	stalled := []net.Conn{d.stalledCapture(t, "red"), d.stalledCapture(t, "red"), d.stalledCapture(t, "blue")}
	must(t, red, "iperf3", "-c", blueAddr, "-n", "1000M")
	first.kill()
	server(t, blue)
	must(t, red, "iperf3", "-c", blueAddr, "-u", "-b", "100M", "-l", "100", "-t", "2")
	got, err := probe.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if missing := got.Missing - got.SocketDrops; missing != 0 || got.Sent == 0 {
		t.Errorf("probe beside a stalled capture = %+v, want none missing", got)
	}
	t.Logf("probe: sent %d, missing %d, p99 %v, max %v", got.Sent, got.Missing, got.P99, got.Max)
	packets, lost := rest(t, stalled[0])
	if packets == 0 || lost == 0 {
		t.Errorf("%d packets captured, %d lost, want both", packets, lost)
	}
	t.Logf("%d packets captured, %d lost", packets, lost)
	d.do("interface del red")
	d.stop() // while one is stalled
}

// TestCaptureLab runs the block of docs/capture.md as it stands.
func TestCaptureLab(t *testing.T) {
	privileged(t)
	commands := block(t, "docs/capture.md", "capture lab")
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary(t), filepath.Join(dir, "bin/router6d")); err != nil {
		t.Fatal(err)
	}
	p := prepare(t, "bash", "-e", "-c", commands)
	p.cmd.Dir = dir
	p.cmd.SysProcAttr.Setpgid = true
	t.Cleanup(func() { _ = netlab.Remove("red") }) // it should have gone
	p.start()
	t.Cleanup(p.endGroup)
	p.wait().want(t, 0, "2001:db8:ffff::1\tno_route: no route; answered: no route")
}
