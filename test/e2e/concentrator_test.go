package e2e

import (
	be "encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/pppoe"
	"github.com/router6d/router6d/pppoe/ac"
	"github.com/router6d/router6d/pppoe/ppp"
	"github.com/router6d/router6d/test/lab/bras"
)

// A concentrator is our own at the far end of a veth pair, with a TUN device to the
// kernel of another namespace: the Internet.
//
//	line: the router ── line ═══ far ── concentrator ── tun: net
type concentrator struct {
	t    *testing.T
	line *netlab.Namespace
	in   *netlab.Capture
	out  *netlab.Injector
	tun  *os.File
	stop chan struct{}
	join sync.WaitGroup

	mu sync.Mutex // two readers and a clock
	ac *ac.Concentrator
}

// concentrate starts one that serves anybody.
func concentrate(t *testing.T, line, internet *netlab.Namespace) *concentrator {
	t.Helper()
	c := &concentrator{t: t, line: line, stop: make(chan struct{})}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(netlab.Connect(line, "line", line, "far"))
	for _, end := range []string{"line", "far"} {
		check(line.SetSysctl("net/ipv6/conf/"+end+"/disable_ipv6", "1"))
	}
	far, err := line.Link("far")
	check(err)
	c.ac = ac.New(ac.Config{
		MAC: pppoe.MAC(far.Address), Name: "ours", MTU: 1492, Demand: []ppp.Auth{ppp.CHAPMD5},
		Users: map[string]string{"router6d": "secret"}, Random: rand.New(rand.NewChaCha8([32]byte{1})),
	})
	c.in, err = netlab.OpenCapture(line, "far", netlab.CaptureConfig{Frames: true, AnyProtocol: true, IgnoreOutgoing: true})
	check(err)
	c.out, err = netlab.OpenInjector(line, "far")
	check(err)
	check(internet.Do(func() (err error) { c.tun, err = openTUN("ours"); return err }))
	check(internet.SetSysctl("net/ipv6/conf/ours/accept_dad", "0"))
	check(internet.SetMTU("ours", 1492))
	check(internet.SetUp("ours"))
	check(internet.AddAddress("ours", netip.PrefixFrom(bras.Internet, 128)))
	check(internet.Do(func() error {
		l, err := netlink.LinkByName("ours")
		if err != nil {
			return err
		}
		customers := &net.IPNet{IP: bras.Customer.Addr().AsSlice(), Mask: net.CIDRMask(bras.Customer.Bits(), 128)}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: customers})
	}))
	c.join.Go(c.serveWire)
	c.join.Go(c.serveTUN)
	c.join.Go(c.serveClock)
	t.Cleanup(c.end)
	return c
}

// openTUN makes a device that takes packets as a wire has them.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make tun %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (c *concentrator) end() {
	close(c.stop)
	_ = c.in.Close()
	_ = c.tun.Close()
	c.join.Wait()
	_ = c.out.Close()
	if err := c.line.DeleteLink("line"); err != nil && !errors.Is(err, netlab.ErrNoLink) {
		c.t.Error(err)
	}
}

// serveWire takes what the router sends.
func (c *concentrator) serveWire() {
	var b [2048]byte
	for {
		p, err := c.in.Read(b[:])
		if err != nil {
			return
		}
		c.mu.Lock()
		out := c.ac.Receive(time.Now(), b[:p.Len])
		c.send(out)
		c.mu.Unlock()
		if out.Packet != nil {
			_, _ = c.tun.Write(out.Packet)
		}
	}
}

// serveTUN takes what the Internet sends, to the newest session.
func (c *concentrator) serveTUN() {
	var b [2048]byte
	for {
		n, err := c.tun.Read(b[:])
		if err != nil {
			return
		}
		c.mu.Lock()
		if all := c.ac.Sessions(); len(all) > 0 {
			c.send(ac.Output{Send: [][]byte{c.ac.Encapsulate(all[len(all)-1], b[:n])}})
		}
		c.mu.Unlock()
	}
}

func (c *concentrator) serveClock() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case now := <-tick.C:
			c.mu.Lock()
			c.send(c.ac.Expire(now))
			c.mu.Unlock()
		}
	}
}

// send sends frames. What a line without carrier loses is lost.
func (c *concentrator) send(out ac.Output) {
	for _, b := range out.Send {
		_ = c.out.Send(be.BigEndian.Uint16(b[12:]), b)
	}
}

// each does something to every session.
func (c *concentrator) each(do func(id uint16) ac.Output) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.ac.Sessions() {
		c.send(do(id))
	}
}

// PADT ends the session with that alone.
func (c *concentrator) PADT() { c.each(c.ac.HangUp) }

// Terminate ends it by LCP.
func (c *concentrator) Terminate() {
	c.each(func(id uint16) ac.Output { return c.ac.Terminate(time.Now(), id) })
}

// LinkDown takes the line's carrier.
func (c *concentrator) LinkDown() {
	if err := c.line.SetDown("line"); err != nil {
		c.t.Fatal(err)
	}
}

// LinkUp gives it back.
func (c *concentrator) LinkUp() {
	if err := c.line.SetUp("line"); err != nil {
		c.t.Fatal(err)
	}
}

// sessions is how many there are.
func (c *concentrator) sessions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ac.Sessions())
}
