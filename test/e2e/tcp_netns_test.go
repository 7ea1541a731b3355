package e2e

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/netlab"
)

// The kernel's TCP and the router's own, over a path that loses, doubles and reorders,
// and has room for 1280 bytes only: what comes is what was sent.
//
//	router ── red: the kernel forwards ── bad ══ badLink ══ host: green
func TestServicesOverBadLink(t *testing.T) {
	privileged(t)
	for _, tt := range []struct {
		name string
		mtu  string // of the host
		path int    // what the router comes to know of it
	}{
		{"the host knows how much fits", "1280", 0},
		{"Packet Too Big", "1500", 1280}, // which the kernel in between sends the router
	} {
		t.Run(tt.name, func(t *testing.T) {
			red, green := namespace(t, "red"), namespace(t, "green")
			namespace(t, "blue")
			sysctl(t, red, "net/ipv6/conf/all/forwarding=1")
			l := newBadLink(t, red, green)
			must(t, red, "ip", "link", "set", "bad", "mtu", "1280", "up")
			must(t, green, "ip", "link", "set", "host", "mtu", tt.mtu, "up")
			route(t, red, "bad", "2001:db8:9::/64", "")
			address(t, green, "host", "2001:db8:9::2/64")
			route(t, green, "host", "::/0", "")
			d := start(t, strings.ReplaceAll(inBand, "TYPE", "tun")+"routes:\n  - {prefix: 2001:db8:9::/64, dev: red}\n")
			d.kept = []string{"bad", "host"}
			reaches(t, green, inBandAddr)
			l.bad.Store(true)

			echoes(t, green, 1<<20)
			lines := lineReader{Reader: bufio.NewReader(dial(t, green, "["+inBandAddr+"]:19"))}
			if err := lines.read(10_000); err != nil {
				t.Error(err)
			}
			all, err := d.Connections(t.Context())
			if err != nil || !slices.ContainsFunc(all, func(c control.Connection) bool { return c.Local.Port() == 19 && c.PathMTU == tt.path }) {
				t.Errorf("connections = %+v, %v, want one with a path of %d", all, err, tt.path)
			}
			takes := dial(t, green, "["+inBandAddr+"]:9").(*net.TCPConn)
			if _, err := takes.Write(make([]byte, 1<<20)); err != nil {
				t.Error(err)
			}
			if err := takes.CloseWrite(); err != nil {
				t.Error(err)
			}
			if _, err := takes.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // it has come, all of it
				t.Errorf("discard ended by %v, want its end", err)
			}
			t.Logf("%d lost, %d doubled, %d late", l.lost.Load(), l.doubled.Load(), l.late.Load())
			if l.lost.Load() == 0 || l.doubled.Load() == 0 || l.late.Load() == 0 {
				t.Error("the link is not bad: the test is blind")
			}
		})
	}
}

// A badLink is two TUN devices, and who carries packets from one to the other.
type badLink struct {
	bad                 atomic.Bool // before that, it carries all
	lost, doubled, late atomic.Int64
}

const (
	loses    = 50 // one of so many
	doubles  = 50
	reorders = 20
)

// newBadLink makes the devices bad in a and host in b.
func newBadLink(t *testing.T, a, b *netlab.Namespace) *badLink {
	t.Helper()
	l := &badLink{}
	var ends [2]*os.File
	for i, end := range []struct {
		in   *netlab.Namespace
		name string
	}{{a, "bad"}, {b, "host"}} {
		if err := end.in.Do(func() (err error) { ends[i], err = openTUN(end.name); return err }); err != nil {
			t.Fatal(err)
		}
	}
	var carriers sync.WaitGroup
	carriers.Go(func() { l.carry(ends[0], ends[1], 1) })
	carriers.Go(func() { l.carry(ends[1], ends[0], 2) })
	t.Cleanup(func() {
		_, _ = ends[0].Close(), ends[1].Close() // and so the devices go
		carriers.Wait()
	})
	return l
}

// carry carries packets until an end is closed.
func (l *badLink) carry(from, to *os.File, seed uint64) {
	random := rand.New(rand.NewPCG(seed, seed))
	var b [2048]byte
	var late []byte // to be overtaken by the next
	for {
		n, err := from.Read(b[:])
		if err != nil {
			return
		}
		switch {
		case !l.bad.Load():
		case random.IntN(loses) == 0:
			l.lost.Add(1)
			continue
		case random.IntN(doubles) == 0:
			l.doubled.Add(1)
			_, _ = to.Write(b[:n])
		case late == nil && random.IntN(reorders) == 0:
			l.late.Add(1)
			late = append(late, b[:n]...)
			continue
		}
		_, _ = to.Write(b[:n]) // what does not fit is lost, as on any link
		if late != nil {
			_, _ = to.Write(late)
			late = nil
		}
	}
}
