package bras

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/router6d/router6d/internal/netlab"
)

// What is behind the server.
var (
	Host     = netip.MustParseAddr("2001:db8:ffff::1")      // the server itself: answers pings
	Customer = netip.MustParsePrefix("2001:db8:100::/56")   // is routed into the newest session
	Internet = netip.MustParseAddr("2001:db8:fffe::2")      // the uplink's end in its namespace
	Host4    = netip.MustParseAddr("100.64.0.1")            // the server's end of a session
	Pool4    = netip.MustParsePrefix("100.64.0.0/16")       // clients get theirs of it
	uplink   = netip.MustParsePrefix("2001:db8:fffe::1/64") // the server's end
)

const uplinkName = "uplink"

// Auth is how a client has to prove who it is.
type Auth string

// The ways that pppd knows. It takes no other than the one it is set to.
const (
	NoAuth   Auth = "noauth"
	PAP      Auth = "require-pap"
	CHAP     Auth = "require-chap" // with MD5
	MSCHAPv2 Auth = "require-mschap-v2"
)

// Options say what kind of server it is. The zero value of a field is the
// default; only Namespace has none.
type Options struct {
	Namespace *netlab.Namespace // where the client's end of the line is
	Link      string            // the device there, "line" by default
	MTU       int               // of the line, 1500 by default; with 1508 sessions may have 1500 (RFC 4638)
	VLAN      uint16            // the VLAN of the sessions; none by default

	Name     string   // AC-Name, "lab" by default
	Services []string // Service-Names; by default it serves any

	Auth     Auth   // none by default
	User     string // "router6d" by default
	Password string // "secret" by default

	IPv4 bool          // has IPCP as well
	Echo time.Duration // between LCP echo requests, in whole seconds, 5 by default; three lost end a session

	Impair Impairment        // of the line, from the start
	Uplink *netlab.Namespace // where the server's other line ends, as device "uplink"; none by default
}

func (o *Options) fill() {
	fill(&o.Link, "line")
	fill(&o.MTU, 1500)
	fill(&o.Name, "lab")
	fill(&o.Auth, NoAuth)
	fill(&o.User, "router6d")
	fill(&o.Password, "secret")
	fill(&o.Echo, 5*time.Second)
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// tap, farEnd and bridge are between the guest and Link:
//
//	vec0 ≡≡≡ tap ─ bridge ─ farEnd ═══ Link
func (o *Options) tap() string    { return o.Link + "-tap" }
func (o *Options) farEnd() string { return o.Link + "-far" }
func (o *Options) bridge() string { return o.Link + "-sw" }

// uplinkEnd is the device from which the guest takes what comes over the uplink.
func (o *Options) uplinkEnd() string { return o.Link + "-up" }

// device is the guest's, on which the server listens.
func (o *Options) device() string {
	if o.VLAN == 0 {
		return "vec0"
	}
	return "vlan"
}

// pppd is its file of options.
func (o *Options) pppd() string {
	mtu := min(o.MTU, 1508) - 8 // PPPoE and PPP headers, RFC 2516 §7
	lines := []string{
		"name " + quote(o.Name), string(o.Auth),
		fmt.Sprintf("mtu %d", mtu), fmt.Sprintf("mru %d", mtu),
		fmt.Sprintf("lcp-echo-interval %d", int(o.Echo.Seconds())), "lcp-echo-failure 3",
		"+ipv6", "noproxyarp", "noccp", "novj", "nodetach",
		"debug", "logfile " + pppdLog,
	}
	if !o.IPv4 {
		lines = append(lines, "noip")
	}
	return strings.Join(lines, "\n") + "\n"
}

// secrets is pppd's file of whom it knows, the same for all ways.
func (o *Options) secrets() string {
	return quote(o.User) + " * " + quote(o.Password) + " *\n"
}

// quote writes a word as pppd and the guest's shell both read it.
func quote(word string) string { return "'" + word + "'" }
