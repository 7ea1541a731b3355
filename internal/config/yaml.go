package config

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// YAML returns a text that Parse takes back to the same values, except for Line. It says what differs from the
// defaults, and has a line for each interface and each route.
func (c *Config) YAML() []byte {
	def := Default()
	var top, log, metrics fields
	top.add("control", quote(c.Control), c.Control != def.Control)
	top.add("detach-timeout", c.DetachTimeout.String(), c.DetachTimeout != def.DetachTimeout)
	top.add("icmp-errors", strconv.Itoa(c.ICMPErrors), c.ICMPErrors != def.ICMPErrors)
	log.add("level", string(c.Log.Level), c.Log.Level != def.Log.Level)
	log.add("format", string(c.Log.Format), c.Log.Format != def.Log.Format)
	top.add("log", log.flow(), len(log) > 0)
	metrics.add("listen", quote(c.Metrics.Listen.String()), c.Metrics.Listen.IsValid())
	top.add("metrics", metrics.flow(), len(metrics) > 0)
	services := c.Services.yaml()
	top.add("services", services.flow(), len(services) > 0)
	top.add("interfaces", "{}", len(c.Interfaces) == 0)

	var b bytes.Buffer
	for _, f := range top {
		fmt.Fprintln(&b, f)
	}
	if len(c.Interfaces) > 0 {
		fmt.Fprintln(&b, "interfaces:")
	}
	for _, i := range c.Interfaces {
		fmt.Fprintf(&b, "  %s: %s\n", quote(i.Name), i.yaml())
	}
	if len(c.Routes) > 0 {
		fmt.Fprintln(&b, "routes:")
	}
	for _, r := range c.Routes {
		fmt.Fprintf(&b, "  - %s\n", r.yaml())
	}
	return b.Bytes()
}

func (s Services) yaml() (fs fields) {
	if h := s.HTTP; h != nil {
		own := h.Service.fields(0)
		own.add("certificate", quote(h.Certificate), h.Certificate != "")
		own.add("key", quote(h.Key), h.Key != "")
		own.add("token-file", quote(h.TokenFile), h.TokenFile != "")
		fs.add("http", own.flow(), true)
	}
	for _, x := range []struct {
		key  string
		s    *Service
		port uint16
	}{{"echo", s.Echo, DefaultEcho}, {"discard", s.Discard, DefaultDiscard}, {"chargen", s.Chargen, DefaultChargen}} {
		if x.s != nil {
			fs.add(x.key, x.s.fields(x.port).flow(), true)
		}
	}
	return fs
}

func (s *Service) fields(port uint16) (fs fields) {
	fs.add("port", strconv.Itoa(int(s.Port)), s.Port != port)
	fs.add("addresses", texts(s.Addresses), len(s.Addresses) > 0)
	fs.add("interfaces", quoted(s.Interfaces), len(s.Interfaces) > 0)
	protocols := make([]string, len(s.Protocols))
	for i, p := range s.Protocols {
		protocols[i] = string(p)
	}
	fs.add("protocols", quoted(protocols), !slices.Equal(s.Protocols, []Transport{TCP}))
	return fs
}

func (i Interface) yaml() string {
	var fs fields
	fs.add("type", string(i.Type), i.Type != TypeTUN)
	ours := i.Type == TypeTUN || i.Type == TypeTAP
	fs.add("mode", string(i.Mode), ours && i.Mode != ModeCreate)
	fs.add("recreate", "true", i.Recreate)
	fs.add("mtu", strconv.Itoa(i.MTU), i.MTU != 0 && (i.MTU != DefaultMTU || !ours))
	fs.add("hop-limit", strconv.Itoa(int(i.HopLimit)), i.HopLimit != DefaultHopLimit)
	fs.add("queues", strconv.Itoa(i.Queues), i.Queues != 0)
	fs.add("mac", quote(i.MAC.String()), i.MAC != MAC{})
	fs.add("lower", quote(i.Lower), i.Lower != "")
	fs.add("vlan", strconv.Itoa(int(i.VLAN.ID)), i.VLAN.ID != 0)
	fs.add("protocol", string(i.VLAN.Protocol), i.VLAN.ID != 0 && i.VLAN.Protocol != Protocol8021Q)
	fs.add("default-route", "true", i.DefaultRoute)
	if i.PPPoE != nil {
		i.PPPoE.yaml(&fs)
	}
	fs.add("addresses", texts(i.Addresses), len(i.Addresses) > 0)
	fs.add("unreachables", "false", i.NoUnreachables)
	fs.add("dad-transmits", strconv.Itoa(i.DADTransmits), i.Type.hasFrames() && i.DADTransmits != DefaultDADTransmits)
	fs.add("neighbors", neighbors(i.Neighbors), len(i.Neighbors) > 0)
	if i.Kernel != nil {
		fs.add("kernel", i.Kernel.yaml(), true)
	}
	return fs.flow()
}

func (p *PPPoE) yaml(fs *fields) {
	fs.add("user", quote(p.User), p.User != "")
	fs.add("password", quote(p.Password), p.User != "" && p.PasswordFile == "")
	fs.add("password-file", quote(p.PasswordFile), p.PasswordFile != "")
	fs.add("service", quote(p.Service), p.Service != "")
	fs.add("ac", quote(p.AC), p.AC != "")
	fs.add("identity", string(p.Identity), p.Identity != IdentityKeep)
}

func (k *Kernel) yaml() string {
	var fs fields
	fs.add("netns", quote(k.Netns.String()), k.Netns != Netns{})
	fs.add("mac", quote(k.MAC.String()), k.MAC != MAC{})
	fs.add("addresses", texts(k.Addresses), len(k.Addresses) > 0)
	fs.add("routes", texts(k.Routes), len(k.Routes) > 0)
	fs.add("txqueuelen", strconv.Itoa(k.TxQueueLen), k.TxQueueLen != DefaultTxQueueLen)
	return fs.flow()
}

func (r Route) yaml() string {
	var fs fields
	fs.add("prefix", quote(r.Prefix.String()), true)
	fs.add("metric", strconv.FormatUint(uint64(r.Metric), 10), r.Metric != 0)
	fs.add("hop-limit", strconv.Itoa(int(r.HopLimit)), r.HopLimit != 0)
	switch {
	case r.Refuse != RefuseNone:
		fs.add("refuse", string(r.Refuse), true)
	case len(r.Paths) == 1 && r.Paths[0].Weight == DefaultWeight:
		fs = append(fs, r.Paths[0].fields()...)
	default:
		paths := make([]string, len(r.Paths))
		for i, p := range r.Paths {
			paths[i] = p.fields().flow()
		}
		fs.add("paths", "["+strings.Join(paths, ", ")+"]", true)
	}
	return fs.flow()
}

func (p Path) fields() (fs fields) {
	fs.add("dev", quote(p.Dev), p.Dev != "")
	fs.add("via", quote(p.Via.String()), p.Via.IsValid())
	fs.add("weight", strconv.Itoa(p.Weight), p.Weight != DefaultWeight)
	return fs
}

// fields are keys with their values, as text.
type fields []string

func (fs *fields) add(key, value string, told bool) {
	if told {
		*fs = append(*fs, key+": "+value)
	}
}

func (fs fields) flow() string { return "{" + strings.Join(fs, ", ") + "}" }

func texts[T fmt.Stringer](all []T) string {
	var names []string
	for _, x := range all {
		names = append(names, x.String())
	}
	return quoted(names)
}

func quoted(all []string) string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = quote(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// plain is what means itself without quotes, wherever it stands. A colon at either end would make a key.
var plain = regexp.MustCompile(`^[0-9A-Za-z/]([0-9A-Za-z/._:-]*[0-9A-Za-z/])?$`)

// quote writes a text so that it is read back as it is.
func quote(s string) string {
	if plain.MatchString(s) && !slices.Contains([]string{"null", "Null", "NULL"}, s) {
		return s
	}
	return strconv.Quote(s)
}

func neighbors(ns []Neighbor) string {
	var all []string
	for _, n := range ns {
		var fs fields
		fs.add("address", quote(n.Address.String()), true)
		fs.add("mac", quote(n.MAC.String()), true)
		all = append(all, fs.flow())
	}
	return "[" + strings.Join(all, ", ") + "]"
}
