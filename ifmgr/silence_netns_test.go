package ifmgr_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
)

func disabled(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6")
	check(t, err)
	return strings.TrimSpace(string(b))
}

// addressed gives eth0 an address and a route of the kernel's.
func addressed(t *testing.T, host *netlab.Namespace) {
	t.Helper()
	lay(t, host)
	check(t, host.AddAddress("eth0", netip.MustParsePrefix("2001:db8::1/64")))
	check(t, own(t).AddAddress("eth0", netip.MustParsePrefix("2001:db8::2/64")))
	check(t, own(t).AddRoute("eth0", netip.MustParsePrefix("2001:db8:f::/48"), netip.MustParseAddr("2001:db8::1")))
}

// hasAll reports whether the kernel has what addressed gave it.
func hasAll(t *testing.T) bool {
	t.Helper()
	l, err := netlink.LinkByName("eth0")
	check(t, err)
	addrs, err := netlink.AddrList(l, netlink.FAMILY_V6)
	check(t, err)
	routes, err := netlink.RouteList(l, netlink.FAMILY_V6)
	check(t, err)
	return slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.IPNet.String() == "2001:db8::2/64" }) &&
		slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Dst.String() == "2001:db8:f::/48" && r.Gw != nil })
}

func recorded(t *testing.T, dir string) int {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return len(files)
}

func (r *router) detach(id ifmgr.ID) {
	r.t.Helper()
	r.do(func(x *loop.Turn) { r.m.Detach(x, id, ifmgr.ErrRequested, nil) })
	r.end(id)
}

func TestKernelIsSilencedAndRestored(t *testing.T) {
	r := newRouter(t)
	dir := filepath.Join(t.TempDir(), "silenced")
	r.m.Records(dir)
	addressed(t, namespace(t, "r6t-host"))
	for range 2 {
		id := r.add(linkOf(t, "eth0"))
		if disabled(t, "eth0") != "1" || hasAll(t) || recorded(t, dir) != 1 {
			t.Errorf("disable_ipv6 = %s, %d records, want the kernel silenced", disabled(t, "eth0"), recorded(t, dir))
		}
		r.detach(id)
		if disabled(t, "eth0") != "0" || !hasAll(t) || recorded(t, dir) != 0 {
			t.Errorf("disable_ipv6 = %s, %d records, want all as it was", disabled(t, "eth0"), recorded(t, dir))
		}
	}
	// What somebody else has silenced stays so.
	check(t, own(t).SetSysctl("net/ipv6/conf/eth0/disable_ipv6", "1"))
	r.detach(r.add(linkOf(t, "eth0")))
	if disabled(t, "eth0") != "1" || recorded(t, dir) != 0 {
		t.Errorf("disable_ipv6 = %s, want it left alone", disabled(t, "eth0"))
	}
}

// With a MAC of its own the router is a node beside the kernel.
func TestKernelIsLeftAloneBesideTheRouter(t *testing.T) {
	r := newRouter(t)
	addressed(t, namespace(t, "r6t-host"))
	c := linkOf(t, "eth0")
	c.MAC = config.MAC{2, 5: 7}
	id := r.add(c)
	if disabled(t, "eth0") != "0" || !hasAll(t) || r.info("eth0").MAC != c.MAC {
		t.Errorf("disable_ipv6 = %s, want the kernel as it was", disabled(t, "eth0"))
	}
	r.detach(id)
}

// killed makes what a router that was killed leaves: records and a silent link.
func killed(t *testing.T, dir string) {
	t.Helper()
	left := map[string][]byte{}
	t.Run("killed", func(t *testing.T) {
		r := newRouter(t)
		r.m.Records(dir)
		r.add(linkOf(t, "eth0"))
		files, err := filepath.Glob(dir + "/*")
		check(t, err)
		for _, f := range files {
			left[f], err = os.ReadFile(f)
			check(t, err)
		}
	})
	check(t, os.MkdirAll(dir, 0o700))
	for f, text := range left {
		check(t, os.WriteFile(f, text, 0o600))
	}
	check(t, own(t).SetSysctl("net/ipv6/conf/eth0/disable_ipv6", "1"))
}

func TestKernelIsRestoredAfterAKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "silenced")
	addressed(t, namespace(t, "r6t-host"))
	for _, c := range []struct {
		name   string
		wanted bool
	}{{"by the next start, if nobody wants the link", false}, {"by the next detach, if it is taken again", true}} {
		t.Run(c.name, func(t *testing.T) {
			killed(t, dir)
			if disabled(t, "eth0") != "1" || recorded(t, dir) != 1 || hasAll(t) {
				t.Fatalf("disable_ipv6 = %s, %d records, want what a kill leaves", disabled(t, "eth0"), recorded(t, dir))
			}
			check(t, os.WriteFile(filepath.Join(dir, "4711-1"), []byte("{}"), 0o600)) // of a namespace that was
			r := newRouter(t)
			r.m.Records(dir)
			check(t, r.m.RestoreLinks(func(name string) bool { return c.wanted && name == "eth0" }))
			if c.wanted {
				if disabled(t, "eth0") != "1" {
					t.Error("the kernel spoke in between")
				}
				r.detach(r.add(linkOf(t, "eth0")))
			}
			if disabled(t, "eth0") != "0" || !hasAll(t) || recorded(t, dir) != 0 {
				t.Errorf("disable_ipv6 = %s, %d records, want all as it was", disabled(t, "eth0"), recorded(t, dir))
			}
		})
	}
}

// Where sysctls can't be written, as in a container, nf_tables does it.
func TestKernelIsSilencedWithoutSysctls(t *testing.T) {
	r := newRouter(t)
	dir := filepath.Join(t.TempDir(), "silenced")
	r.m.Records(dir)
	host := namespace(t, "r6t-host")
	addressed(t, host)
	check(t, unix.Mount("/proc/sys", "/proc/sys", "none", unix.MS_BIND, ""))
	t.Cleanup(func() { check(t, unix.Unmount("/proc/sys", 0)) })
	check(t, unix.Mount("", "/proc/sys", "none", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	answersSoon(t, host)
	id := r.add(linkOf(t, "eth0"))
	heard, err := netlab.OpenCapture(own(t), "eth0", netlab.CaptureConfig{})
	check(t, err)
	if answers(t, host) {
		t.Errorf("the kernel answers: %v", r.logs.FilterMessage("kernel not silenced").All())
	}
	// Neither does it say anything by itself.
	j, err := net.Dial("udp6", "[2001:db8::1]:9")
	check(t, err)
	_, _ = j.Write([]byte("x"))
	check(t, j.Close())
	saw := false
	b := make([]byte, 4096)
	check(t, heard.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	for {
		c, err := heard.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		check(t, err)
		saw = saw || !c.Outgoing
		if c.Outgoing {
			t.Errorf("the kernel sent %x", b[:min(c.Len, 60)])
		}
	}
	check(t, heard.Close())
	if !saw {
		t.Error("a packet socket sees nothing any more")
	}
	if !hasAll(t) || recorded(t, dir) != 0 || r.logged("kernel silenced") != 1 {
		t.Errorf("%d records, want nothing changed but the talk", recorded(t, dir))
	}
	r.detach(id)
	answersSoon(t, host)
}

// answersSoon waits until the kernel answers: links and addresses take a moment.
func answersSoon(t *testing.T, host *netlab.Namespace) {
	t.Helper()
	for range 20 {
		if answers(t, host) {
			return
		}
	}
	t.Fatal("the kernel does not answer")
}

// answers reports whether the kernel answers a solicitation by the host.
func answers(t *testing.T, host *netlab.Namespace) bool {
	t.Helper()
	heard, err := netlab.OpenCapture(host, "eth0", netlab.CaptureConfig{IgnoreOutgoing: true})
	check(t, err)
	defer heard.Close()
	check(t, host.Do(func() error { // forgets what it knows, and asks
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		_ = netlink.NeighDel(&netlink.Neigh{LinkIndex: l.Attrs().Index, Family: netlink.FAMILY_V6, IP: net.ParseIP("2001:db8::2")})
		c, err := net.Dial("udp6", "[2001:db8::2]:9")
		if err != nil {
			return err
		}
		_, err = c.Write([]byte("x"))
		return errors.Join(err, c.Close())
	}))
	check(t, heard.SetReadDeadline(time.Now().Add(500*time.Millisecond)))
	b := make([]byte, 4096)
	for {
		c, err := heard.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		check(t, err)
		if c.Len > 40 && b[6] == 58 && (b[40] == 136 || b[40] == 1) && bytes.Equal(b[8:24], net.ParseIP("2001:db8::2")) {
			return true
		}
	}
}
