package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// decoder reads a tree. It notes every mistake and goes on, so what it returns is of use only if there is none.
type decoder struct {
	faults []fault
	names  []string // of the interfaces in the file, right or wrong
	ipv4   []string // those of them that take no IPv6
	anyDev bool     // paths may name others
	claims claims
}

func newDecoder() *decoder { return &decoder{claims: newClaims()} }

func (d *decoder) fail(at mark, n *node, err error) {
	d.faults = append(d.faults, fault{at, n.path, err})
}

func (d *decoder) config(n *node) *Config {
	c := Default()
	d.section(n, []field{
		{"control", into(d, &c.Control, "a path", ParseSocket)},
		{"detach-timeout", into(d, &c.DetachTimeout, "a duration", ParseDetachTimeout)},
		{"icmp-errors", into(d, &c.ICMPErrors, "a whole number", parseICMPErrors)},
		{"log", func(n *node) { d.log(n, &c.Log) }},
		{"metrics", func(n *node) { d.metrics(n, &c.Metrics) }},
		{"interfaces", func(n *node) { c.Interfaces = d.interfaces(n) }},
		{"services", func(n *node) { d.services(n, &c.Services) }}, // after interfaces, which it names
		{"routes", func(n *node) { c.Routes = d.routes(n) }},       // likewise
	})
	if n.get("interfaces") == nil && len(d.faults) == 0 { // else it may be there, misspelled
		d.fail(mark{}, n, wrong(smallest, "the file has no interfaces"))
	}
	return c
}

func (d *decoder) log(n *node, l *Log) {
	d.section(n, []field{
		{"level", into(d, &l.Level, "a level", ParseLevel)},
		{"format", into(d, &l.Format, "a format", ParseFormat)},
	})
}

func (d *decoder) metrics(n *node, m *Metrics) {
	d.section(n, []field{
		{"listen", into(d, &m.Listen, "an address with a port", ParseListen)},
	})
}

func (d *decoder) services(n *node, s *Services) {
	one := func(dst **Service, port uint16, transport func(string) (Transport, error)) func(*node) {
		return func(n *node) {
			x := &Service{Protocols: []Transport{TCP}, Port: port}
			d.section(n, append(d.service(x), field{"protocols", func(n *node) { x.Protocols = d.protocols(n, transport) }}))
			d.checkService(n, x)
			*dst = x
		}
	}
	d.section(n, []field{
		{"http", func(n *node) { s.HTTP = d.http(n) }},
		{"echo", one(&s.Echo, DefaultEcho, parseTransport)},
		{"discard", one(&s.Discard, DefaultDiscard, parseTransport)},
		{"chargen", one(&s.Chargen, DefaultChargen, parseChargenTransport)},
	})
}

func (d *decoder) protocols(n *node, parse func(string) (Transport, error)) []Transport {
	all := each(d, n, "a protocol", parse, once[Transport]("protocol"))
	if len(n.items) == 0 && n.kind != scalar {
		d.fail(n.key, n, wrong("write protocols: [tcp, udp], or remove it: then it is tcp", "found no protocol"))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (d *decoder) service(s *Service) []field {
	unique := once[netip.Addr]("address")
	named := once[string]("interface")
	return []field{
		{"port", into(d, &s.Port, "a whole number", parsePort)},
		{"addresses", func(n *node) { s.Addresses = each(d, n, "an address", parseHost, unique) }},
		{"interfaces", func(n *node) { s.Interfaces = each(d, n, "an interface name", d.interfaceName, named) }},
	}
}

// inFile refuses a name that no interface in this file has.
func (d *decoder) inFile(s string) error {
	if !slices.Contains(d.names, s) {
		return wrong(suggest(s, "interfaces", d.names), "there is no interface %s in this file", show(s))
	}
	return nil
}

// interfaceName is that of an interface in this file which takes IPv6.
func (d *decoder) interfaceName(s string) (string, error) {
	err := d.inFile(s)
	if slices.Contains(d.ipv4, s) {
		err = wrong("name the session that it is on", "%s is of type ipv4: no IPv6 passes it", show(s))
	}
	return s, err
}

// checkService wants to be told who may ask, and a port that no other has.
func (d *decoder) checkService(n *node, s *Service) {
	if n.get("addresses").isEmpty() && n.get("interfaces").isEmpty() { // else one is wrong, and was told
		d.fail(n.key, n, wrong("write interfaces: [red], addresses: [2001:db8:1::1], or both", "a service says where it is offered"))
	}
	for _, p := range s.Protocols {
		if err := d.claims.port(p, s.Port, n.key.line); err != nil {
			d.fail(n.key, n, err)
			return
		}
	}
}

func (d *decoder) http(n *node) *HTTP {
	h := &HTTP{Service: Service{Protocols: []Transport{TCP}, Port: DefaultHTTP}}
	if n.get("certificate") != nil {
		h.Port = DefaultHTTPS
	}
	d.section(n, append(d.service(&h.Service),
		field{"certificate", into(d, &h.Certificate, "a path", ParseFile)},
		field{"key", into(d, &h.Key, "a path", ParseFile)},
		field{"token-file", into(d, &h.TokenFile, "a path", ParseFile)},
	))
	d.checkService(n, &h.Service)
	if (n.get("certificate") == nil) != (n.get("key") == nil) {
		d.fail(n.key, n, wrong("write certificate: and key:, or neither", "TLS needs both a certificate and its key"))
	}
	if n.get("token-file") != nil && n.get("certificate") == nil {
		v := n.get("token-file")
		d.fail(v.key, v, wrong("add certificate and key", "without TLS everybody on the way could read the token"))
	}
	return h
}

func (d *decoder) interfaces(n *node) (is []Interface) {
	if !d.is(n, mapping, "of interface names") {
		return nil
	}
	for _, p := range n.pairs {
		d.names = append(d.names, p.name)
	}
	for _, p := range n.pairs {
		i := d.iface(p.value, p.name)
		if i.Type == TypeIPv4 {
			d.ipv4 = append(d.ipv4, p.name)
		}
		is = append(is, i)
	}
	d.checkLowers(n, is)
	return is
}

func (d *decoder) iface(n *node, name string) Interface {
	i, err := NewInterface(name)
	if err != nil {
		d.fail(n.key, n, err)
	}
	i.Line = n.key.line
	session := PPPoE{Identity: IdentityKeep}
	d.section(n, []field{
		{"type", into(d, &i.Type, "a type", parseType)},
		{"mode", into(d, &i.Mode, "a mode", ParseMode)},
		{"recreate", into(d, &i.Recreate, "true or false", parseBool)},
		{"mtu", into(d, &i.MTU, "a whole number", ParseMTU)},
		{"hop-limit", into(d, &i.HopLimit, "a whole number", ParseHopLimit)},
		{"queues", into(d, &i.Queues, "a whole number", ParseQueues)},
		{"mac", into(d, &i.MAC, "a MAC address", ParseMAC)},
		{"lower", into(d, &i.Lower, "an interface name", parseName)},
		{"vlan", into(d, &i.VLAN.ID, "a whole number", parseVLANID)},
		{"protocol", into(d, &i.VLAN.Protocol, "a protocol", parseProtocol)},
		{"user", into(d, &session.User, "a name", ParseName)},
		{"password", into(d, &session.Password, "a password", ParsePassword)},
		{"password-file", into(d, &session.PasswordFile, "a path", ParseFile)},
		{"service", into(d, &session.Service, "a name", ParseName)},
		{"ac", into(d, &session.AC, "a name", ParseName)},
		{"identity", into(d, &session.Identity, "keep or renew", ParseIdentity)},
		{"default-route", into(d, &i.DefaultRoute, "true or false", parseBool)},
		{"addresses", func(n *node) { i.Addresses = each(d, n, "an address", ParseAddress, d.claims.own(name)) }},
		{"unreachables", func(n *node) {
			if told, ok := value(d, n, "true or false", parseBool); ok {
				i.NoUnreachables = !told
			}
		}},
		{"dad-transmits", into(d, &i.DADTransmits, "a whole number", parseDADTransmits)},
		{"neighbors", func(n *node) { i.Neighbors = d.neighbors(n) }},
		{"kernel", func(n *node) { i.Kernel = d.kernel(n, name) }}, // after addresses, which it must not repeat
	})
	d.checkType(n, i)
	if i.Type == TypePPPoE {
		i.PPPoE = &session
		d.checkPPPoE(n, i)
	}
	if i.Type.hasFrames() && n.get("dad-transmits") == nil {
		i.DADTransmits = DefaultDADTransmits
	}
	if n.get("mtu") == nil && i.isOnAnother() {
		i.MTU = 0 // as that one's
	}
	return i.ofType()
}

// isOnAnother reports whether an interface is on something that is there without it.
func (i Interface) isOnAnother() bool {
	return i.Type == TypePacket || i.Type.Stacked()
}

// ofType gives an interface what its type alone decides.
func (i Interface) ofType() Interface {
	if i.isOnAnother() {
		i.Mode = ModeAttach
	}
	if i.Type == TypeVLAN && i.VLAN.Protocol == "" {
		i.VLAN.Protocol = Protocol8021Q
	}
	return i
}

// Stacked reports whether an interface of the type is on another one.
func (t Type) Stacked() bool { return t == TypeVLAN || t == TypePPPoE || t == TypeIPv4 }

// hasFrames reports whether there is Ethernet on it; what the type is unknown of has.
func (t Type) hasFrames() bool { return t != TypeTUN && t != TypePPPoE && t != TypeIPv4 }

// only says for which types a key is that is not for all.
var only = map[string][]Type{
	"mode":     {TypeTUN, TypeTAP},
	"recreate": {TypeTUN, TypeTAP},
	"mtu":      {TypeTUN, TypeTAP, TypeVLAN, TypePPPoE},
	"queues":   {TypeTUN, TypeTAP, TypePacket},
	"mac":      {TypeTAP, TypePacket},
	"kernel":   {TypeTUN, TypeTAP},
	"lower":    {TypeVLAN, TypePPPoE, TypeIPv4},
	"vlan":     {TypeVLAN},
	"protocol": {TypeVLAN},

	"user":          {TypePPPoE},
	"password":      {TypePPPoE},
	"password-file": {TypePPPoE},
	"service":       {TypePPPoE},
	"ac":            {TypePPPoE},
	"identity":      {TypePPPoE},

	"default-route": {TypeIPv4},
	"addresses":     {TypeTUN, TypeTAP, TypePacket, TypeVLAN, TypePPPoE},
	"hop-limit":     {TypeTUN, TypeTAP, TypePacket, TypeVLAN, TypePPPoE},

	"dad-transmits": {TypeTAP, TypePacket, TypeVLAN},
	"neighbors":     {TypeTAP, TypePacket, TypeVLAN},
}

// checkType refuses what an interface of this type has not got.
func (d *decoder) checkType(n *node, i Interface) {
	for _, p := range n.pairs {
		if types, limited := only[p.name]; limited && !slices.Contains(types, i.Type) {
			d.fail(p.value.key, p.value, wrong("remove it, or use type "+either(types), "an interface of type %s has no %s", i.Type, p.name))
		}
	}
	switch {
	case i.Type == TypeVLAN:
		d.checkVLAN(n, i)
	case i.Type == TypePPPoE: // see checkPPPoE
	case i.Type == TypeIPv4:
		d.checkIPv4(n, i)
	case i.Mode == ModeAttach && i.Type != TypePacket:
		d.leaveAlone(n)
	}
	k := i.Kernel
	if k == nil || k.MAC == (MAC{}) {
		return
	}
	at := n.get("kernel").get("mac")
	switch {
	case i.Type != TypeTAP:
		d.fail(at.key, at, wrong("remove it, or use type tap", "the kernel's end of an interface of type %s has no mac", i.Type))
	case k.MAC == i.MAC:
		d.fail(at.at, at, wrong("give each end of the wire an address of its own", "the router's end has %s already", k.MAC))
	}
}

func (d *decoder) neighbors(n *node) (ns []Neighbor) {
	for _, item := range d.items(n, "of neighbors") {
		var x Neighbor
		ok := d.section(item, []field{
			{"address", into(d, &x.Address, "an address", ParseGateway)},
			{"mac", into(d, &x.MAC, "a MAC address", ParseMAC)},
		})
		if !ok {
			continue
		}
		if item.get("address") == nil || item.get("mac") == nil {
			d.fail(item.at, item, wrong("write it as {address: 2001:db8:1::2, mac: 02:00:5e:10:00:01}", "a neighbor has an address and a mac"))
		}
		if slices.ContainsFunc(ns, func(o Neighbor) bool { return o.Address == x.Address && x.Address.IsValid() }) {
			d.fail(item.at, item, wrong("keep one", "%s is a neighbor already", x.Address))
		}
		ns = append(ns, x)
	}
	return ns
}

// leaveAlone refuses what would change a device that is somebody else's.
func (d *decoder) leaveAlone(n *node) {
	for _, key := range []string{"recreate", "kernel"} {
		if v := n.get(key); v != nil {
			d.fail(v.key, v, wrong("remove it, or use mode create", "in mode attach the device is somebody else's, who sets this"))
		}
	}
}

// checkVLAN wants a tag, and an interface under it.
func (d *decoder) checkVLAN(n *node, i Interface) {
	for _, key := range []string{"lower", "vlan"} {
		if n.get(key) == nil {
			d.fail(n.at, n, wrong("write which, as lower: eth0, vlan: 100", "an interface of type vlan has no %s", key))
			return
		}
	}
	d.checkLower(n, i)
	if i.Lower != "" && i.VLAN.ID != 0 {
		if err := d.claims.vlan(i); err != nil {
			d.fail(n.get("vlan").at, n.get("vlan"), err)
		}
	}
}

// checkLower wants the interface below to be there.
func (d *decoder) checkLower(n *node, i Interface) {
	if i.Lower == "" || d.anyDev {
		return
	}
	if err := d.inFile(i.Lower); err != nil {
		d.fail(n.get("lower").at, n.get("lower"), err)
	}
}

// checkPPPoE wants an interface under a session, and one password at most.
func (d *decoder) checkPPPoE(n *node, i Interface) {
	if n.get("lower") == nil {
		d.fail(n.at, n, wrong("write which, as lower: eth0", "an interface of type pppoe has no lower"))
	}
	d.checkLower(n, i)
	password, file := n.get("password"), n.get("password-file")
	switch {
	case password != nil && file != nil:
		d.fail(file.key, file, wrong("keep one of the two", "there is a password already"))
	case (password != nil || file != nil) && n.get("user") == nil:
		d.fail(n.at, n, wrong("write whose, as user: me@isp.example", "there is a password, and no user"))
	case n.get("user") != nil && password == nil && file == nil:
		d.fail(n.at, n, wrong("write password, or password-file: /etc/router6d/wan.secret", "there is a user, and no password"))
	}
}

// checkIPv4 wants a session whose IPv4 it is, as the only one.
func (d *decoder) checkIPv4(n *node, i Interface) {
	if n.get("lower") == nil {
		d.fail(n.at, n, wrong("write whose, as lower: wan", "an interface of type ipv4 has no lower"))
		return
	}
	d.checkLower(n, i)
	if err := d.claims.ipv4(i); err != nil {
		d.fail(n.get("lower").at, n.get("lower"), err)
	}
}

// checkLowers refuses a VLAN or a session on what has no frames, and one that is on itself.
func (d *decoder) checkLowers(n *node, all []Interface) {
	named := map[string]Interface{}
	for _, i := range all {
		named[i.Name] = i
	}
	for _, i := range all {
		if !i.Type.Stacked() {
			continue
		}
		at := n.get(i.Name).get("lower")
		under := named[i.Lower]
		for range all { // as deep as it can be
			if !under.Type.Stacked() || under.Name == i.Name {
				break
			}
			under = named[under.Lower]
		}
		switch {
		case at == nil:
		case under.Name == i.Name:
			d.fail(at.at, at, wrong("name an interface that is not on it", "%s would be on itself", show(i.Name)))
		case i.Type == TypeIPv4 && under.Name != "" && named[i.Lower].Type != TypePPPoE:
			d.fail(at.at, at, wrong("name one of type pppoe", "%s is of type %s, which has no session", show(i.Lower), named[i.Lower].Type))
		case i.Type == TypeIPv4:
		case named[i.Lower].Type == TypeIPv4, named[i.Lower].Type == TypeTUN, named[i.Lower].Type == TypePPPoE:
			d.fail(at.at, at, wrong("use type tap or packet for it", "%s is of type %s, which has no %s", show(i.Lower), named[i.Lower].Type, carries[i.Type]))
		}
	}
}

// carries is what is on a lower interface, in words.
var carries = map[Type]string{TypeVLAN: "VLANs", TypePPPoE: "Ethernet frames"}

func either(types []Type) string {
	all := make([]string, len(types))
	for i, t := range types {
		all[i] = string(t)
	}
	return strings.Join(all, " or ")
}

func (d *decoder) kernel(n *node, iface string) *Kernel {
	k := &Kernel{TxQueueLen: DefaultTxQueueLen}
	d.section(n, []field{
		{"netns", into(d, &k.Netns, "a namespace", ParseNetns)},
		{"mac", into(d, &k.MAC, "a MAC address", ParseMAC)},
		{"addresses", func(n *node) { k.Addresses = each(d, n, "an address", ParseAddress, d.claims.kernel(iface)) }},
		{"routes", func(n *node) { k.Routes = each(d, n, "a prefix", ParseRoutePrefix, once[netip.Prefix]("prefix")) }},
		{"txqueuelen", into(d, &k.TxQueueLen, "a whole number", ParseTxQueueLen)},
	})
	return k
}

func (d *decoder) routes(n *node) (rs []Route) {
	for _, item := range d.items(n, "of routes") {
		rs = append(rs, d.route(item))
	}
	return rs
}

func (d *decoder) route(n *node) Route {
	r := Route{Line: n.key.line}
	short := Path{Weight: DefaultWeight}
	ok := d.section(n, []field{
		{"prefix", into(d, &r.Prefix, "a prefix", ParseRoutePrefix)},
		{"metric", into(d, &r.Metric, "a whole number", ParseMetric)},
		{"hop-limit", into(d, &r.HopLimit, "a whole number", ParseHopLimit)},
		{"via", into(d, &short.Via, "an address", ParseGateway)},
		{"dev", into(d, &short.Dev, "an interface name", parseName)},
		{"paths", func(n *node) { r.Paths = d.paths(n) }},
		{"refuse", into(d, &r.Refuse, "a refusal", ParseRefusal)},
	})
	if !ok {
		return r
	}
	if n.get("via") != nil || n.get("dev") != nil {
		d.checkPath(n, short)
		r.Paths = append(r.Paths, short)
	}
	d.checkOneWay(n)
	if n.get("prefix") == nil {
		d.fail(n.at, n, wrong("say where it leads, as prefix: 2001:db8:2::/64", "the route has no prefix"))
	}
	if err := d.claims.route(r); err != nil {
		d.fail(n.get("prefix").at, n, err)
	}
	return r
}

// checkOneWay says whether a route is exactly one of: a path in short, paths, a refusal, which has no hop limit.
func (d *decoder) checkOneWay(n *node) {
	short := n.get("via")
	if short == nil {
		short = n.get("dev")
	}
	var ways []*node
	for _, v := range []*node{short, n.get("paths"), n.get("refuse")} {
		if v != nil {
			ways = append(ways, v)
		}
	}
	const use = "give it via or dev, or paths, or refuse"
	limit := n.get("hop-limit")
	switch {
	case len(ways) == 0:
		d.fail(n.at, n, wrong(use, "the route leads nowhere"))
	case len(ways) > 1:
		slices.SortFunc(ways, func(a, b *node) int { return a.key.compare(b.key) })
		d.fail(ways[1].key, ways[1], wrong(use+", and only one of them", "the route has %s already", lastKey(ways[0])))
	case ways[0] == n.get("refuse") && limit != nil:
		d.fail(limit.key, limit, wrong("remove it, or give the route via, dev or paths", "a refusal has no hop-limit"))
	}
}

func lastKey(n *node) string { return n.path[strings.LastIndexByte(n.path, '.')+1:] }

func (d *decoder) paths(n *node) (ps []Path) {
	items := d.items(n, "of paths")
	if n.isEmpty() {
		d.fail(n.key, n, wrong("add a path, as {dev: red}; or write refuse: unreachable", "the list of paths is empty"))
	}
	for _, item := range items {
		p := d.path(item)
		same := func(q Path) bool { return q.Dev == p.Dev && q.Via == p.Via }
		if i := slices.IndexFunc(ps, same); i >= 0 && (p.Dev != "" || p.Via.IsValid()) {
			d.fail(item.at, item, wrong("keep one, with a weight", "the path is the same as on line %d", items[i].at.line))
		}
		ps = append(ps, p)
	}
	return ps
}

func (d *decoder) path(n *node) Path {
	p := Path{Weight: DefaultWeight}
	ok := d.section(n, []field{
		{"dev", into(d, &p.Dev, "an interface name", parseName)},
		{"via", into(d, &p.Via, "an address", ParseGateway)},
		{"weight", into(d, &p.Weight, "a whole number", ParseWeight)},
	})
	if ok {
		d.checkPath(n, p)
	}
	return p
}

// checkPath says whether a path, whose parts are keys of n, goes with the interfaces.
func (d *decoder) checkPath(n *node, p Path) {
	via, dev := n.get("via"), n.get("dev")
	if p.Dev != "" && !d.anyDev {
		if _, err := d.interfaceName(p.Dev); err != nil {
			d.fail(dev.at, dev, err)
		}
	}
	if p.Via.IsValid() {
		if err := d.claims.gateway(p); err != nil {
			d.fail(via.at, via, err)
		}
	}
	switch err := p.check(); {
	case err == nil:
	case via == nil && dev == nil:
		d.fail(n.at, n, err)
	case p.Via.IsValid() && dev == nil: // else dev is wrong, and was told
		d.fail(via.at, via, err)
	}
}

// field is a key of a section, and what reads its value.
type field struct {
	name string
	read func(*node)
}

// section reads a mapping with known keys, in the order of the fields, not of the file. It says whether n is one.
func (d *decoder) section(n *node, fields []field) bool {
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.name
	}
	if !d.is(n, mapping, "with the keys "+strings.Join(known, ", ")) {
		return false
	}
	for _, p := range n.pairs {
		if !slices.Contains(known, p.name) {
			d.fail(p.value.key, p.value, wrong(suggest(p.name, "keys here", known), "unknown key"))
		}
	}
	for _, f := range fields {
		if v := n.get(f.name); v != nil {
			f.read(v)
		}
	}
	return true
}

// items returns the entries of a list.
func (d *decoder) items(n *node, of string) []*node {
	d.is(n, list, of)
	return n.items
}

// is says whether a value is of a kind. Nothing is an empty one.
func (d *decoder) is(n *node, k kind, of string) bool {
	if n.kind == k || n.kind == nothing {
		return true
	}
	var hint string
	switch {
	case k == list && n.kind == scalar && len(n.text) < 64:
		hint = fmt.Sprintf("put it in brackets, as [%s]", quote(n.text))
	case k == mapping && n.kind == scalar && strings.Contains(n.text, ":"):
		hint = "put a space behind the colon of a key"
	}
	d.fail(n.at, n, wrong(hint, "found %s, want %s %s", n.kind, k, of))
	return false
}

// into returns a reader of a single value.
func into[T any](d *decoder, dst *T, want string, parse func(string) (T, error)) func(*node) {
	return func(n *node) {
		if v, ok := value(d, n, want, parse); ok {
			*dst = v
		}
	}
}

// each reads a list of single values, and asks of each whether it goes with those before.
func each[T any](d *decoder, n *node, want string, parse func(string) (T, error), claim func(T, int) error) (vs []T) {
	for _, item := range d.items(n, "with "+want+" in each entry") {
		v, ok := value(d, item, want, parse)
		if !ok {
			continue
		}
		if err := claim(v, item.at.line); err != nil {
			d.fail(item.at, item, err)
		}
		vs = append(vs, v)
	}
	return vs
}

func value[T any](d *decoder, n *node, want string, parse func(string) (T, error)) (v T, ok bool) {
	switch n.kind {
	case scalar:
		parsed, err := parse(n.text)
		if err == nil {
			return parsed, true
		}
		d.fail(n.at, n, err)
	case nothing:
		d.fail(n.key, n, wrong("give it a value, or remove it", "found nothing, want %s", want))
	case list, mapping:
		d.fail(n.at, n, wrong("", "found %s, want %s", n.kind, want))
	}
	return v, false
}
