package e2e

import (
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab"
)

// browse opens the status page in a real browser, which comes in through the
// dataplane, and returns what it shows after a few of its refreshes. Options are the
// browser's.
func browse(t *testing.T, n *netlab.Namespace, options ...string) string {
	t.Helper()
	args := append([]string{
		"chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir=" + t.TempDir(), "--virtual-time-budget=7000",
	}, options...)
	r := run(t, n, append(args, "http://["+inBandAddr+"]/?address=2001:db8:2::9")...)
	r.want(t, 0)
	return r.out
}

// The page in a browser tells rates, which take two answers of the router, and ends
// of interfaces as they come.
func TestStatusPageInABrowser(t *testing.T) {
	privileged(t)
	red, blue := namespace(t, "red"), namespace(t, "blue")
	d := start(t, strings.ReplaceAll(inBand, "TYPE", "tun"))
	reaches(t, red, inBandAddr)
	reaches(t, blue, "2001:db8:1::2")
	flood := spawn(t, blue, "ping", "-q", "-f", "2001:db8:1::2")
	d.cli("interface add gone --address 2001:db8:9::1/64").want(t, 0)
	d.cli("interface del gone").want(t, 0)
	page := browse(t, red, "--dump-dom")
	flood.signal(unix.SIGINT)
	flood.wait()
	for _, want := range []string{
		`class="up">up`, "<b>forward</b> by blue", `dead lookups <b class="good">0`, "iface=gone", `data-l="withdraw">[0-9.]+µs`, "established",
		`class="rx" data-l="in">[1-9][0-9.]* [kM]bit/s`,
	} {
		if !regexp.MustCompile(want).MatchString(page) {
			t.Errorf("the page does not show %q:\n%s", want, page)
		}
	}
}
