package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/netlab"
)

const ethernetConfig = `
interfaces:
  eth0: {type: packet, addresses: [2001:db8:1::1/64]}
  guests: {type: vlan, lower: eth0, vlan: 100, addresses: [2001:db8:2::1/64]}
`

// cable lays eth0 in our own namespace. A router that waits for it takes it at once,
// with what the kernel has on it.
func cable(t *testing.T) *netlab.Namespace {
	t.Helper()
	host := namespace(t, "r6e-host")
	ip(t, "link add eth0 type veth peer name eth0 netns r6e-host")
	t.Cleanup(func() { run(t, nil, "ip", "link", "del", "eth0") }) // it may be gone
	must(t, host, "ip", "link", "set", "eth0", "up")
	ip(t, "link set eth0 up")
	return host
}

// uplink is a cable with an address and a route of the kernel's.
func uplink(t *testing.T) *netlab.Namespace {
	t.Helper()
	host := cable(t)
	ip(t, "address add 2001:db8:1::9/64 dev eth0 nodad")
	ip(t, "route add 2001:db8:f::/48 via 2001:db8:1::2 dev eth0")
	return host
}

// silent reports whether the kernel has IPv6 on eth0.
func silent(t *testing.T) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/eth0/disable_ipv6")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b)) == "1"
}

// asItWas wants the kernel to have back what uplink gave it.
func asItWas(t *testing.T) {
	t.Helper()
	if silent(t) {
		t.Error("the kernel is silent")
	}
	if out := ip(t, "-6 address show dev eth0"); !strings.Contains(out, "2001:db8:1::9/64") {
		t.Errorf("addresses of the kernel:\n%s", out)
	}
	if out := ip(t, "-6 route show dev eth0"); !strings.Contains(out, "2001:db8:f::/48 via 2001:db8:1::2") {
		t.Errorf("routes of the kernel:\n%s", out)
	}
}

// A router that is killed leaves the kernel silent. The next one gives it its IPv6
// back: at its start, or when it is done with the link itself.
func TestKilledRouterLeavesTheLinkToTheNext(t *testing.T) {
	for _, next := range []string{ethernetConfig, "interfaces: {}"} {
		t.Run(next, func(t *testing.T) {
			privileged(t)
			uplink(t)
			socket := filepath.Join(short(t), "sock")
			d := launchFile(t, file(t, whole(socket, ethernetConfig)), socket)
			d.ready()
			d.awaitUp("guests", 0)
			d.signal(unix.SIGKILL)
			<-d.done
			if !silent(t) {
				t.Error("the kernel speaks, so this shows nothing")
			}
			d = launchFile(t, file(t, whole(socket, next)), socket)
			t.Cleanup(d.stop)
			d.ready()
			if next == ethernetConfig {
				d.awaitUp("guests", 0)
				if !silent(t) {
					t.Error("the kernel speaks on the router's link")
				}
				d.stop()
			}
			asItWas(t)
			if left, err := filepath.Glob(socket + ".*"); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// Where sysctls can't be written, what silences the kernel goes with a router that is
// killed.
func TestKilledRouterWithoutSysctls(t *testing.T) {
	privileged(t)
	host := uplink(t)
	address(t, host, "eth0", "2001:db8:1::5/64")
	reaches(t, host, "2001:db8:1::9") // the kernel's
	must(t, nil, "mount", "--bind", "/proc/sys", "/proc/sys")
	t.Cleanup(func() { must(t, nil, "umount", "/proc/sys") })
	must(t, nil, "mount", "-o", "remount,bind,ro", "/proc/sys")
	socket := filepath.Join(short(t), "sock")
	d := launchFile(t, file(t, whole(socket, ethernetConfig)), socket)
	d.ready()
	d.awaitUp("guests", 0)
	d.await("kernel silenced", func(l line) bool { return l.Iface == "eth0" })
	reaches(t, host, "2001:db8:1::1") // the router's
	ping(t, host, "2001:db8:1::9", "-W", "1").want(t, 1, "100% packet loss")
	d.signal(unix.SIGKILL)
	<-d.done
	reaches(t, host, "2001:db8:1::9")
	if silent(t) {
		t.Error("the sysctl was written")
	}
}

// Links that come late, or go, and what is on them; and what is shown of it.
func TestEthernetByCommand(t *testing.T) {
	privileged(t)
	d := start(t, "interfaces: {}")
	d.do("interface add eth0 --type packet --address 2001:db8:1::1/64")
	d.do("interface add guests --type vlan --lower eth0 --vlan 100 --protocol 802.1ad --address 2001:db8:2::1/64")
	if _, err := d.find("guests"); !errors.Is(err, errNoInterface) {
		t.Errorf("guests before its link: %v, want %v", err, errNoInterface)
	}
	cable(t)
	var id uint64
	for range 2 {
		id = d.awaitUp("guests", id).ID
		all := ask[[]control.Interface](d, "show interfaces")
		eth0, guests := all[0], all[1]
		if eth0.Type != "packet" || eth0.MAC == "" || eth0.MTU != 1500 || eth0.Device != "eth0" ||
			guests.Type != "vlan" || guests.MAC != eth0.MAC || guests.MTU != 1496 || guests.Lower != "eth0" ||
			guests.VLAN != 100 || guests.Protocol != "802.1ad" {
			t.Errorf("interfaces = %+v", all)
		}
		d.cli("show interfaces").want(t, 0, "802.1ad 100 on eth0", eth0.MAC)
		ip(t, "link del eth0")
		if l := d.awaitOf("interface detached", eth0.ID); l.Cause != "device deleted by someone else" {
			t.Errorf("cause = %s", l.Cause)
		}
		ip(t, "link add eth0 type veth peer name far")
		ip(t, "link set far up")
		ip(t, "link set eth0 up")
	}
	d.awaitUp("guests", id)
	d.cli("interface add more --type vlan --lower eth0 --vlan 100 --protocol 802.1ad").want(t, 1, "guests")
	d.cli("interface add more --type vlan --lower eth0").want(t, 1, "has no vlan")
	d.cli("interface add more --type tun --mac 02:00:00:00:00:01").want(t, 1, "tun has no mac")
	d.do("interface del eth0")
	if _, err := d.find("guests"); !errors.Is(err, errNoInterface) {
		t.Errorf("guests after its link: %v, want %v", err, errNoInterface)
	}
	if silent(t) {
		t.Error("the kernel is silent still")
	}
}

func TestEthernetIsReloaded(t *testing.T) {
	privileged(t)
	uplink(t)
	d := start(t, ethernetConfig)
	id := d.awaitUp("guests", 0).ID
	reload := func(config string) result {
		t.Helper()
		if err := os.WriteFile(d.file, []byte(whole(d.socket, config)), 0o644); err != nil {
			t.Fatal(err)
		}
		return d.cli("reload")
	}
	reload(strings.Replace(ethernetConfig, "vlan: 100", "vlan: 101", 1)).want(t, 1, "interface guests: vlan can't be changed in place")
	reload(strings.Replace(ethernetConfig, "type: packet", "type: packet, mac: 02:00:00:00:00:01", 1)).want(t, 1, "interface eth0: mac can't be changed in place")
	reload(ethernetConfig+"  staff: {type: vlan, lower: eth0, vlan: 200}\n").want(t, 0, "interface staff: when its lower interface is there")
	d.awaitUp("staff", 0)
	if in := d.awaitUp("guests", 0); in.ID != id {
		t.Errorf("guests = %d, want %d still", in.ID, id)
	}
	reload("interfaces: {}").want(t, 0, "interface eth0", "interface guests", "interface staff")
	if all := ask[[]control.Interface](d, "show interfaces"); len(all) != 0 {
		t.Errorf("interfaces = %+v, want none", all)
	}
	asItWas(t)
}

// With one capability the router takes a link. A kernel that nobody has silenced it
// can't silence, where sysctls can't be written, and says so.
func TestEthernetWithOneCapability(t *testing.T) {
	privileged(t)
	uplink(t)
	try := func(event string) {
		t.Helper()
		socket := filepath.Join(short(t), "sock")
		config := file(t, whole(socket, ethernetConfig))
		p := spawn(t, nil, "setpriv", "--bounding-set", "-all,+net_raw", binary(t), "run", "--config", config)
		d := &daemon{Client: control.NewClient(socket), process: p, file: config, socket: socket}
		t.Cleanup(d.stop)
		d.ready()
		d.awaitUp("guests", 0)
		d.await(event, func(l line) bool { return l.Iface == "eth0" })
		d.stop()
	}
	must(t, nil, "mount", "--bind", "/proc/sys", "/proc/sys")
	t.Cleanup(func() { must(t, nil, "umount", "/proc/sys") })
	must(t, nil, "mount", "-o", "remount,bind,ro", "/proc/sys")
	try("kernel not silenced")
	must(t, nil, "mount", "-o", "remount,bind,rw", "/proc/sys")
	must(t, nil, "sysctl", "-q", "-w", "net.ipv6.conf.eth0.disable_ipv6=1")
	must(t, nil, "mount", "-o", "remount,bind,ro", "/proc/sys")
	try("kernel silenced")
}
