package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Path is one way for the packets of a route. At least one of Dev and Via is set.
type Path struct {
	Dev    string     // the interface to leave by; empty if a route to Via says so
	Via    netip.Addr // the gateway; invalid if destinations are on the link
	Weight int        // its share among the paths of the route; never zero
}

// ParsePath parses what Path.String writes, as dev=red,via=fe80::1,weight=2. What is left out has its default.
func ParsePath(s string) (Path, error) {
	p := Path{Weight: DefaultWeight}
	keys := []string{"dev", "via", "weight"}
	for part := range strings.SplitSeq(s, ",") {
		key, value, found := strings.Cut(part, "=")
		i := slices.Index(keys, key)
		if !found || i < 0 {
			return Path{}, wrong("write it as dev=red,via=fe80::1,weight=2, each part once",
				"path part %s is not understood", show(part))
		}
		keys[i] = "" // not again
		if err := p.set(key, value); err != nil {
			return Path{}, err
		}
	}
	return p, p.check()
}

func (p *Path) set(key, value string) (err error) {
	switch key {
	case "dev":
		p.Dev, err = parseName(value)
	case "via":
		p.Via, err = ParseGateway(value)
	case "weight":
		p.Weight, err = ParseWeight(value)
	}
	return err
}

func parseName(s string) (string, error) { return s, CheckName(s) }

// check says whether the parts of a path, each right alone, make one.
func (p Path) check() error {
	switch {
	case p.Dev == "" && !p.Via.IsValid():
		return wrong("give it dev, via, or both", "a path has neither an interface nor a gateway")
	case p.Dev == "" && p.Via.IsLinkLocalUnicast():
		// RFC 4007 §6: the address alone does not say which link.
		return wrong("name the interface with dev", "gateway %s is link-local", p.Via)
	}
	return nil
}

// String returns the path as ParsePath takes it.
func (p Path) String() string {
	var parts []string
	if p.Dev != "" {
		parts = append(parts, "dev="+p.Dev)
	}
	if p.Via.IsValid() {
		parts = append(parts, "via="+p.Via.String())
	}
	if p.Weight != DefaultWeight {
		parts = append(parts, fmt.Sprintf("weight=%d", p.Weight))
	}
	return strings.Join(parts, ",")
}
