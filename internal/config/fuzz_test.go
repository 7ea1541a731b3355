package config_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/router6d/router6d/internal/config"
)

// FuzzParse checks that no text panics or takes long, that mistakes come in line order, and that what is accepted
// can be written and read back.
func FuzzParse(f *testing.F) {
	examples, _ := filepath.Glob("../../configs/*.yaml")
	stories, _ := filepath.Glob("testdata/*.txt")
	for _, file := range append(examples, stories...) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for story := range strings.SplitSeq(string(text), "====\n") {
			story, _, _ = strings.Cut(story, "----\n")
			f.Add([]byte(story))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		start := time.Now()
		c, err := config.Parse("fuzz.yaml", text)
		if took := time.Since(start); took > 3*time.Second {
			t.Fatalf("%d bytes took %v", len(text), took)
		}
		if err == nil {
			roundTrip(t, c)
			return
		}
		var es config.Errors
		if !errors.As(err, &es) || len(es) == 0 {
			t.Fatalf("error = %T, want Errors", err)
		}
		for i, e := range es {
			if i > 0 && e.Line > 0 && e.Line < es[i-1].Line {
				t.Errorf("line %d is told after line %d", e.Line, es[i-1].Line)
			}
			if lines := strings.Count(e.Error(), "\n"); lines > 3 {
				t.Errorf("error has %d lines:\n%v", lines+1, e)
			}
		}
	})
}

// TestWrittenConfigReadsBackTheSame draws what Parse could have made, rather than texts.
func TestWrittenConfigReadsBackTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		text := c.YAML()
		again, err := config.Parse("again.yaml", text)
		if err != nil {
			t.Fatalf("%v\nin\n%s", err, text)
		}
		if diff := cmp.Diff(c, again, same); diff != "" {
			t.Fatalf("parsed again, it differs (-got +want):\n%s\nin\n%s", diff, text)
		}
	})
}

func drawConfig(t *rapid.T) *config.Config {
	c := config.Default()
	c.Control = rapid.SampledFrom([]string{c.Control, "/run/a b", "/x: y", "/#\"\\é"}).Draw(t, "control")
	c.ICMPErrors = rapid.IntRange(1, 1_000_000).Draw(t, "errors")
	c.DetachTimeout = time.Duration(rapid.Int64Range(1e7, 6e10).Draw(t, "timeout"))
	c.Log.Level = rapid.SampledFrom([]config.Level{config.LevelInfo, config.LevelError}).Draw(t, "level")
	if rapid.Bool().Draw(t, "metrics") {
		c.Metrics.Listen = netip.MustParseAddrPort(rapid.SampledFrom([]string{"[::1]:9406", "0.0.0.0:1", "[fe80::1%a]:65535"}).Draw(t, "listen"))
	}
	name := rapid.StringOfN(rapid.RuneFrom([]rune(`azAZ09-_.#"'\[]{}&*!|>?~ `)), 1, 15, 15).Filter(func(s string) bool {
		return config.CheckName(s) == nil
	})
	d := &drawer{T: t}
	for _, n := range rapid.SliceOfNDistinct(name, 0, 4, rapid.ID[string]).Draw(t, "names") {
		c.Interfaces = append(c.Interfaces, d.iface(n))
		if last := c.Interfaces[len(c.Interfaces)-1]; last.Type != config.TypeTUN && rapid.Bool().Draw(t, "vlan") {
			c.Interfaces = append(c.Interfaces, d.vlan(last.Name, len(c.Interfaces)))
		}
	}
	for range rapid.IntRange(0, 4).Draw(t, "routes") {
		c.Routes = append(c.Routes, d.route(c))
	}
	return c
}

// drawer draws parts that do not clash: each address and prefix is a new one.
type drawer struct {
	*rapid.T
	last byte
}

func (d *drawer) address() netip.Prefix {
	d.last++
	a := [16]byte{0x20, 0x01, 0x0d, 0xb8, 14: d.last, 15: 1}
	return netip.PrefixFrom(netip.AddrFrom16(a), rapid.IntRange(0, 126).Draw(d.T, "length"))
}

func (d *drawer) iface(name string) config.Interface {
	i, err := config.NewInterface(name)
	if err != nil {
		d.Fatal(err)
	}
	i.Type = rapid.SampledFrom([]config.Type{config.TypeTUN, config.TypeTAP, config.TypePacket}).Draw(d.T, "type")
	if i.Type != config.TypeTUN {
		i.MAC = config.MAC{2, 5: rapid.Byte().Draw(d.T, "mac")}
		i.DADTransmits = rapid.IntRange(0, 10).Draw(d.T, "transmits")
		for _, p := range d.prefixes(d.address) {
			i.Neighbors = append(i.Neighbors, config.Neighbor{Address: p.Addr(), MAC: i.MAC})
		}
	}
	i.MTU = rapid.IntRange(1280, 65535).Draw(d.T, "mtu")
	i.HopLimit = rapid.Uint8Range(1, 255).Draw(d.T, "hop limit")
	i.NoUnreachables = rapid.Bool().Draw(d.T, "silent")
	i.Queues = rapid.IntRange(0, 16).Draw(d.T, "queues")
	i.Addresses = d.prefixes(d.address)
	if i.Type == config.TypePacket {
		i.Mode, i.MTU = config.ModeAttach, 0
		return i
	}
	if rapid.Bool().Draw(d.T, "attach") {
		i.Mode = config.ModeAttach
		return i
	}
	i.Recreate = rapid.Bool().Draw(d.T, "recreate")
	if rapid.Bool().Draw(d.T, "kernel") {
		i.Kernel = d.kernel()
		if i.Type == config.TypeTAP {
			i.Kernel.MAC = config.MAC{4, 5: rapid.Byte().Draw(d.T, "kernel mac")}
		}
	}
	return i
}

func (d *drawer) vlan(lower string, n int) config.Interface {
	i, err := config.NewInterface(fmt.Sprintf("on-%d", n))
	if err != nil {
		d.Fatal(err)
	}
	i.Type, i.Mode, i.Lower = config.TypeVLAN, config.ModeAttach, lower
	i.MTU = rapid.SampledFrom([]int{0, 1280, 1500, 65535}).Draw(d.T, "vlan mtu")
	i.VLAN.ID = rapid.Uint16Range(1, 4094).Draw(d.T, "vlan id")
	i.VLAN.Protocol = rapid.SampledFrom([]config.Protocol{config.Protocol8021Q, config.Protocol8021AD}).Draw(d.T, "protocol")
	return i
}

func (d *drawer) kernel() *config.Kernel {
	netns, err := config.ParseNetns(rapid.SampledFrom([]string{"red", "null", "~", "1e3", "pid:7", "/a: b", "#x"}).Draw(d.T, "netns"))
	if err != nil {
		d.Fatal(err)
	}
	return &config.Kernel{
		Netns:      netns,
		Addresses:  d.prefixes(d.address),
		Routes:     d.prefixes(d.prefix),
		TxQueueLen: rapid.IntRange(1, 1_000_000).Draw(d.T, "txqueuelen"),
	}
}

func (d *drawer) prefixes(one func() netip.Prefix) (ps []netip.Prefix) {
	for range rapid.IntRange(0, 2).Draw(d.T, "count") {
		ps = append(ps, one())
	}
	return ps
}

func (d *drawer) prefix() netip.Prefix {
	d.last++
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, d.last}), rapid.IntRange(16, 128).Draw(d.T, "length"))
}

func (d *drawer) route(c *config.Config) config.Route {
	r := config.Route{Prefix: d.prefix(), Metric: rapid.Uint32().Draw(d.T, "metric")}
	if rapid.Bool().Draw(d.T, "refuse") {
		r.Refuse = config.RefuseBlackhole
		return r
	}
	r.HopLimit = rapid.Uint8().Draw(d.T, "hop limit")
	for range rapid.IntRange(1, 3).Draw(d.T, "paths") {
		p := config.Path{Via: d.prefix().Addr().Next(), Weight: rapid.IntRange(1, 3).Draw(d.T, "weight")}
		if len(c.Interfaces) > 0 && rapid.Bool().Draw(d.T, "with dev") {
			p.Dev = rapid.SampledFrom(c.Interfaces).Draw(d.T, "dev").Name
		}
		r.Paths = append(r.Paths, p)
	}
	return r
}
