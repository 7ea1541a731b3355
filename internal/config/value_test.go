package config_test

import (
	"fmt"
	"testing"

	"github.com/router6d/router6d/internal/config"
)

// What is written alone, as in an option or a key.
//
// Proves:
//   - RFC 8200 §5 minimum-mtu
func TestSingleValues(t *testing.T) {
	name := text(func(s string) (string, error) { return s, config.CheckName(s) })
	address, prefix, gateway := text(config.ParseAddress), text(config.ParseRoutePrefix), text(config.ParseGateway)
	netns, path, listen := text(config.ParseNetns), text(config.ParsePath), text(config.ParseListen)
	mtu, metric := text(config.ParseMTU), text(config.ParseMetric)
	timeout, refusal := text(config.ParseDetachTimeout), text(config.ParseRefusal)
	for _, tt := range []struct {
		parse func(string) string
		text  string
		want  string // the value, or the error
	}{
		{name, "eth0.100", "eth0.100"},
		{name, "sixteen-bytes-xx", `interface name "sixteen-bytes-xx" has 16 bytes; use 1 to 15 letters, digits, '-', '_' or '.'`},
		{name, "tun%d", `interface name "tun%d" has '%' in it; use 1 to 15 letters, digits, '-', '_' or '.'`},
		{name, "..", `".." is not an interface name; use 1 to 15 letters, digits, '-', '_' or '.'`},
		{name, "all", `interface name "all" belongs to the kernel's sysctl tree; choose another name`},
		{address, "2001:db8::1/64", "2001:db8::1/64"},
		{address, "2001:db8::/127", "2001:db8::/127"},
		{address, "2001:db8::/64", "2001:db8::/64 is the subnet-router anycast address of its link; give it a host part, as 2001:db8::1/64"},
		{address, "2001:db8::1", "2001:db8::1 has no prefix length; write it with its link, as 2001:db8:1::1/64"},
		{address, "2001:db8::1/129", `"129" is not a prefix length; use 0 to 128`},
		{address, "192.0.2.1/24", "192.0.2.1 is an IPv4 address; router6d routes IPv6 only"},
		{address, "::ffff:192.0.2.1/120", "::ffff:192.0.2.1 is an IPv4 address written as IPv6; router6d routes IPv6 only"},
		{address, "fe80::1%red/64", `"fe80::1%red" has a zone; write fe80::1, and name the interface with dev`},
		{address, "ff02::1/128", "ff02::1 is a multicast address; use a unicast address, as 2001:db8:1::1"},
		{address, "::1/128", "::1 is the loopback address; use a unicast address, as 2001:db8:1::1"},
		{address, "::/0", ":: is the unspecified address; use a unicast address, as 2001:db8:1::1"},
		{prefix, "::/0", "::/0"},
		{prefix, "fe00::/7", "fe00::/7"},
		{prefix, "2001:db8::1/64", "2001:db8::1/64 has bits set behind its length; write 2001:db8::/64"},
		{prefix, "ff00::/8", "ff00::/8 is multicast, which is not routed by prefix; use a unicast prefix"},
		{prefix, "fe80::/64", "fe80::/64 is link-local, and never leaves its link; use a global or unique local prefix"},
		{prefix, "::1/128", "::1/128 is no destination on a network; use a global or unique local prefix"},
		{gateway, "fe80::1/64", `"fe80::1/64" is not a gateway address; write it without a length, as fe80::1`},
		{listen, "[::1]:9406", "[::1]:9406"},
		{listen, "127.0.0.1:9406", "127.0.0.1:9406"},
		{listen, "[fe80::1%red]:9406", "[fe80::1%red]:9406"},
		{listen, "[::1]:0", "0 is out of range; use 1 to 65535"},
		{listen, ":9406", `"" is not an address; write [::1]:9406 for this host alone, or [::]:9406 for every address`},
		{listen, "localhost:9406", `"localhost" is not an address; write [::1]:9406 for this host alone, or [::]:9406 for every address`},
		{listen, "::1", `"::1" is not an address with a port; write [::1]:9406 for this host alone, or [::]:9406 for every address`},
		{netns, "red", "red"},
		{netns, "pid:12", "pid:12"},
		{netns, "pid:0", `"pid:0" names no process; write pid: and the number of a process, as pid:4711`},
		{netns, "netns/red", `namespace path "netns/red" is relative; write a name in /run/netns, an absolute path, or pid:N`},
		{netns, "/run/../red", `path "/run/../red" has parts that lead nowhere; write /red`},
		{path, "dev=red", "dev=red"},
		{path, "weight=3,dev=red,via=fe80::1", "dev=red,via=fe80::1,weight=3"},
		{path, "", `path part "" is not understood; write it as dev=red,via=fe80::1,weight=2, each part once`},
		{path, "dev=red,dev=blue", `path part "dev=blue" is not understood; write it as dev=red,via=fe80::1,weight=2, each part once`},
		{path, "via=fe80::1", "gateway fe80::1 is link-local; name the interface with dev"},
		{path, "weight=2", "a path has neither an interface nor a gateway; give it dev, via, or both"},
		{path, "dev=red,weight=0", "0 is out of range; use 1 to 100"},
		{metric, "4294967295", "4294967295"},
		{metric, "4294967296", "4294967296 is out of range; use 0 to 4294967295"},
		{metric, "99999999999999999999", "99999999999999999999 is out of range; use 0 to 4294967295"},
		{metric, "-1", "-1 is out of range; use 0 to 4294967295"},
		{mtu, "1280", "1280"},
		{mtu, "1279", "1279 is out of range; use 1280 to 65535"},
		{mtu, "0x600", `"0x600" is not a whole number; use 1280 to 65535`},
		{timeout, "1m", "1m0s"},
		{timeout, "5ms", "5ms is out of range; use 10ms to 1m0s"},
		{refusal, "reject", `"reject" is not known here; use unreachable, prohibit, blackhole`},
	} {
		t.Run(tt.text, func(t *testing.T) {
			if got := tt.parse(tt.text); got != tt.want {
				t.Errorf("value =\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// text makes of a parser one that returns the value, or the error, as text.
func text[T any](parse func(string) (T, error)) func(string) string {
	return func(s string) string {
		v, err := parse(s)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(v)
	}
}

func TestNetnsPath(t *testing.T) {
	for text, want := range map[string]string{"red": "/run/netns/red", "/proc/1/ns/net": "/proc/1/ns/net", "pid:7": "/proc/7/ns/net"} {
		n, err := config.ParseNetns(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := n.Path(); got != want {
			t.Errorf("path of %s = %s, want %s", text, got, want)
		}
	}
	if got := (config.Netns{}).Path(); got != "" {
		t.Errorf("path of the router's own = %s, want nothing", got)
	}
}

func ExampleParsePath() {
	p, err := config.ParsePath("dev=red,via=fe80::1,weight=2")
	fmt.Println(p.Dev, p.Via, p.Weight, err)
	_, err = config.ParsePath("via=fe80::1")
	fmt.Println(err)
	// Output:
	// red fe80::1 2 <nil>
	// gateway fe80::1 is link-local; name the interface with dev
}

func ExampleParse() {
	_, err := config.Parse("red.yaml", []byte("interfaces:\n  red:\n    adresses: [2001:db8:1::1/64]\n"))
	fmt.Println(err)
	// Output:
	// red.yaml:3:5: interfaces.red.adresses: unknown key
	//     3 |     adresses: [2001:db8:1::1/64]
	//       |     ^
	//       = did you mean addresses?
}
