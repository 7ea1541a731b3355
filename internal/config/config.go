package config

import (
	"maps"
	"net/netip"
	"os"
	"strings"
	"time"
)

// Config is a whole file. Load and Parse make it; every value in it is in range and agrees with the others.
type Config struct {
	Control       string        // path of the control socket, absolute
	DetachTimeout time.Duration // after it a detach is reported as orphaned, with its holders
	ICMPErrors    int           // that a worker sends in a second, in bursts of a fifth; never zero
	Log           Log
	Metrics       Metrics
	Services      Services
	Interfaces    []Interface // in file order
	Routes        []Route     // in file order
}

// Log is how the daemon logs.
type Log struct {
	Level  Level
	Format Format
}

// Metrics is where the daemon tells its numbers.
type Metrics struct {
	Listen netip.AddrPort // zero: nowhere
}

// Services is what the router itself offers, over its interfaces. Nil: not that.
type Services struct {
	HTTP    *HTTP
	Echo    *Service // sends back what it gets, RFC 862
	Discard *Service // takes what it gets, RFC 863
	Chargen *Service // sends without end, RFC 864; never over UDP
}

// Service is where a service is offered. There is an address or an interface at least.
type Service struct {
	Protocols  []Transport  // over which it is offered, in order; one at least
	Port       uint16       // of each; no two services have the same
	Addresses  []netip.Addr // of the router, at which it is; none: at any
	Interfaces []string     // through which it is reached; none: through any
}

// Transport is what a service is offered over.
type Transport string

// The transports.
const (
	TCP Transport = "tcp"
	UDP Transport = "udp"
)

// HTTP is the API, the metrics and the status page.
type HTTP struct {
	Service
	Certificate, Key string // files of TLS, absolute; both empty: none
	TokenFile        string // of who may change things, absolute; empty: nobody may
}

// Named is the services that there are, by their names in a file.
func (s Services) Named() map[string]*Service {
	all := map[string]*Service{"echo": s.Echo, "discard": s.Discard, "chargen": s.Chargen}
	if s.HTTP != nil {
		all["http"] = &s.HTTP.Service
	}
	maps.DeleteFunc(all, func(_ string, x *Service) bool { return x == nil })
	return all
}

// Level is the least severe event that is logged.
type Level string

// The levels.
const (
	LevelDebug Level = "debug"
	LevelInfo  Level = "info"
	LevelWarn  Level = "warn"
	LevelError Level = "error"
)

// Format is how a log line is written.
type Format string

// The formats.
const (
	FormatJSON    Format = "json"
	FormatConsole Format = "console"
)

// Interface is one port of the router.
type Interface struct {
	Name      string
	Type      Type
	Mode      Mode
	Recreate  bool           // false unless Mode is ModeCreate
	MTU       int            // zero where it is what another has: always of TypePacket
	HopLimit  uint8          // never zero
	MAC       MAC            // the router's; zero leaves it the choice
	Queues    int            // each with a worker; zero: as many as there are CPUs for
	Addresses []netip.Prefix // the router's own, each with the length of its link; not masked
	// NoUnreachables keeps from whoever sends in here that what he sent could not be
	// delivered.
	NoUnreachables bool
	// DADTransmits is how often others are asked whether an address is theirs; zero
	// where there are no frames.
	DADTransmits int
	Neighbors    []Neighbor // that need no resolution
	Kernel       *Kernel    // the other end; nil leaves it alone, as ModeAttach always does
	Lower        string     // the interface it is on, of TypeVLAN, TypePPPoE and TypeIPv4 only
	DefaultRoute bool       // the kernel's for IPv4 is to lead here; false but of TypeIPv4
	PPPoE        *PPPoE     // nil but of TypePPPoE
	VLAN         VLAN       // zero but of TypeVLAN
	Line         int        // in the file; zero if it came from elsewhere
}

// Type is what kind of port an interface is.
type Type string

// The types.
const (
	TypeTUN Type = "tun" // packets, to and from the kernel
	TypeTAP Type = "tap" // Ethernet frames, to and from the kernel
	// TypePacket is an Ethernet link that is there already, through a packet socket.
	TypePacket Type = "packet"
	// TypePPPoE is a session with an access concentrator on another interface.
	TypePPPoE Type = "pppoe"
	TypeVLAN  Type = "vlan" // on another interface, of any type that has frames
	// TypeIPv4 is the IPv4 of a session, which the kernel gets.
	TypeIPv4 Type = "ipv4"
)

// Neighbor is a node on an Ethernet link.
type Neighbor struct {
	Address netip.Addr
	MAC     MAC
}

// Mode is who makes the device of an interface.
type Mode string

// The modes.
const (
	ModeCreate Mode = "create" // the router makes it, and it goes with the router
	ModeAttach Mode = "attach" // somebody else made it, and keeps it; always of TypePacket and what is on another
)

// VLAN says which frames of the lower interface are a VLAN's.
type VLAN struct {
	Protocol Protocol
	ID       uint16
}

// PPPoE is whom a session is with, and as whom. It never changes.
type PPPoE struct {
	User         string // empty: nothing is proved
	Password     string // empty if PasswordFile is not
	PasswordFile string // absolute
	Service      string // empty: any
	AC           string // empty: any
	Identity     Identity
}

// Secret is the password. The file is read each time: it may change.
func (p *PPPoE) Secret() (string, error) {
	if p.PasswordFile == "" {
		return p.Password, nil
	}
	b, err := os.ReadFile(p.PasswordFile)
	return strings.TrimRight(string(b), "\r\n"), err
}

// Identity says what becomes of an interface when its session ends.
type Identity string

// The identities.
const (
	IdentityKeep  Identity = "keep"  // it stays, without carrier
	IdentityRenew Identity = "renew" // it ends, and there is another
)

// Protocol is the standard that a VLAN's tag is of.
type Protocol string

// The protocols.
const (
	Protocol8021Q  Protocol = "802.1q"  // a customer's tag, 0x8100
	Protocol8021AD Protocol = "802.1ad" // a provider's tag, 0x88a8
)

// Kernel is the kernel's end of a TUN or TAP device.
type Kernel struct {
	Netns      Netns
	MAC        MAC            // zero lets the router choose, and always on a TUN
	Addresses  []netip.Prefix // as Interface.Addresses
	Routes     []netip.Prefix // led into the device; masked
	TxQueueLen int
}

// Route is a static route: paths, or a refusal, never both and never neither.
type Route struct {
	Prefix netip.Prefix // masked
	Metric uint32
	// HopLimit is that of the router's own packets that take the route; zero: that of
	// the interface they leave by. Always zero with a refusal.
	HopLimit uint8
	Paths    []Path
	Refuse   Refusal
	Line     int // in the file; zero if it came from elsewhere
}

// Refusal is how packets for a prefix are turned away.
type Refusal string

// The refusals.
const (
	RefuseNone        Refusal = ""            // the route has paths
	RefuseUnreachable Refusal = "unreachable" // answered with "no route to destination"
	RefuseProhibit    Refusal = "prohibit"    // answered with "administratively prohibited"
	RefuseBlackhole   Refusal = "blackhole"   // not answered
)

// What a file means that does not say.
const (
	DefaultControl       = "/run/router6d/control.sock"
	DefaultDetachTimeout = time.Second
	DefaultICMPErrors    = 1000 // full quotes are about 10 Mbit/s
	DefaultMTU           = 1500
	DefaultHopLimit      = 64 // RFC 1700 and its successor, the IANA registry of IP parameters
	DefaultTxQueueLen    = 10_000
	DefaultDADTransmits  = 1 // RFC 4862 §5.1
	DefaultWeight        = 1
	DefaultHTTP          = 80
	DefaultHTTPS         = 443
	DefaultEcho          = 7
	DefaultDiscard       = 9
	DefaultChargen       = 19
)

// Default returns what a file with no interfaces and no other key means.
func Default() *Config {
	return &Config{
		Control:       DefaultControl,
		DetachTimeout: DefaultDetachTimeout,
		ICMPErrors:    DefaultICMPErrors,
		Log:           Log{Level: LevelInfo, Format: FormatJSON},
	}
}

// NewInterface returns an interface with every setting at its default.
func NewInterface(name string) (Interface, error) {
	i := Interface{Name: name, Type: TypeTUN, Mode: ModeCreate, MTU: DefaultMTU, HopLimit: DefaultHopLimit}
	return i, CheckName(name)
}
