package ifmgr

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/link"
)

// A link on which the router has the link's own MAC has one IPv6 node: the router.
// The kernel's is silenced there, until the interface ends. That is done by sysctl,
// with a record in a file of what was before; or, where sysctls can't be written, by
// a table of nf_tables, which goes with the process.

// silences is what is silenced now, by number of link. An orphan may come to its
// end when its successor has silenced the link again, and is to leave it alone then.
type silences struct {
	dir string // of the records; empty: none

	// Changed by those who prepare and those who close, on goroutines of their own,
	// while the kernel takes its time: no turn waits for that.
	mu  sync.Mutex
	now map[int]*record
}

// A silenced port has the kernel's IPv6 back when it ends.
type silenced struct {
	*link.PacketSocket
	restore func() error // once
}

// Close implements link.Port.
func (s *silenced) Close() error { return errors.Join(s.PacketSocket.Close(), s.restore()) }

// Sever implements link.Port.
func (s *silenced) Sever() error { return errors.Join(s.PacketSocket.Sever(), s.restore()) }

// silence silences the kernel on the link of a port. If it can't, it says so and
// goes on: the kernel answers for its own addresses only.
func (m *Manager) silence(p *link.PacketSocket, d Device) device {
	restore, how, err := m.silences.silence(d)
	if err != nil {
		m.log.Warn("kernel not silenced", zap.String("iface", d.Name), zap.Error(err))
		return p
	}
	m.log.Info("kernel silenced", zap.String("iface", d.Name), zap.String("by", how))
	return &silenced{p, sync.OnceValue(restore)}
}

// silence returns how to undo it, and what it was done by.
func (s *silences) silence(d Device) (restore func() error, how string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.now[d.Index]
	if r == nil {
		r, err = newRecord(s.dir, d)
	} else {
		r = &record{Value: r.Value, Addresses: r.Addresses, Routes: r.Routes, path: r.path, index: r.index}
	}
	if err == nil {
		err = r.silence()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return func() error { return nil }, "nobody: it has no IPv6", nil
	case errors.Is(err, errSilent):
		return func() error { return nil }, "somebody else", nil
	case err == nil:
		s.now[d.Index] = r
		return func() error { return s.restore(r) }, "sysctl", nil
	}
	table, nftErr := dropIPv6(d.Index)
	if nftErr != nil {
		return nil, "", errors.Join(err, nftErr)
	}
	return table.Close, "nf_tables", nil
}

// restore undoes it, unless somebody else has silenced the link by now.
func (s *silences) restore(r *record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now[r.index] != r {
		return nil
	}
	delete(s.now, r.index)
	return r.restore()
}

// errSilent means that there is nothing to silence.
var errSilent = errors.New("silent already")

// A record is what the kernel had on a link before it was silenced: disabling IPv6
// takes addresses and routes as well. It is kept in a file, so that a router that was
// killed can give it back when it is started again.
type record struct {
	Value     string // of disable_ipv6
	Addresses []string
	Routes    []recordedRoute

	path  string // of the file; empty: nowhere
	index int    // of the link
}

type recordedRoute struct {
	To, Via string // empty Via: on the link
	Metric  int
}

const disableIPv6 = "/proc/sys/net/ipv6/conf/%s/disable_ipv6"

// newRecord reads what the kernel has on a link, or what it had when a router
// before us silenced it.
func newRecord(dir string, d Device) (*record, error) {
	r := &record{index: d.Index}
	if dir != "" {
		own, err := namespaceInode()
		if err != nil {
			return nil, err
		}
		r.path = filepath.Join(dir, fmt.Sprintf("%d-%d", own, d.Index))
		if r.read() == nil {
			return r, nil
		}
	}
	value, err := os.ReadFile(fmt.Sprintf(disableIPv6, d.Name))
	if err != nil {
		return nil, err
	}
	if r.Value = strings.TrimSpace(string(value)); r.Value != "0" {
		return nil, errSilent
	}
	return r, r.note(d.Name)
}

// note records the addresses and routes of a link that were given to it.
func (r *record) note(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	addrs, err := netlink.AddrList(l, netlink.FAMILY_V6)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if a.Flags&unix.IFA_F_PERMANENT != 0 && !a.IP.IsLinkLocalUnicast() {
			r.Addresses = append(r.Addresses, a.IPNet.String())
		}
	}
	routes, err := netlink.RouteList(l, netlink.FAMILY_V6)
	if err != nil {
		return err
	}
	for _, x := range routes {
		if x.Protocol != unix.RTPROT_KERNEL && x.Protocol != unix.RTPROT_RA && x.Dst != nil {
			r.Routes = append(r.Routes, recordedRoute{x.Dst.String(), viaOf(x), x.Priority})
		}
	}
	return nil
}

func viaOf(x netlink.Route) string {
	if x.Gw == nil {
		return ""
	}
	return x.Gw.String()
}

// silence writes the record, and then the sysctl.
func (r *record) silence() error {
	if err := r.write(); err != nil {
		return err
	}
	name, err := nameOf(r.index)
	if err == nil {
		err = os.WriteFile(fmt.Sprintf(disableIPv6, name), []byte("1"), 0)
	}
	if err != nil {
		return errors.Join(err, r.forget())
	}
	return nil
}

// restore gives back what was recorded, and forgets it. A link that is not there any
// more has nothing to get back.
func (r *record) restore() error {
	name, err := nameOf(r.index)
	if err != nil {
		return r.forget()
	}
	if err := os.WriteFile(fmt.Sprintf(disableIPv6, name), []byte(r.Value), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("give the kernel its IPv6 back on %s: %w", name, err)
	}
	return errors.Join(r.giveBack(), r.forget())
}

// giveBack gives a link its addresses and routes. One that is there already, as by
// an advertisement, is as good.
func (r *record) giveBack() error {
	l, err := netlink.LinkByIndex(r.index)
	if err != nil {
		return nil // went a moment ago
	}
	var errs []error
	for _, text := range r.Addresses {
		p, err := netip.ParsePrefix(text)
		if err == nil {
			err = netlink.AddrReplace(l, &netlink.Addr{IPNet: ipNet(p)})
		}
		errs = append(errs, err)
	}
	for _, x := range r.Routes {
		p, err := netip.ParsePrefix(x.To)
		if err == nil {
			err = netlink.RouteReplace(&netlink.Route{LinkIndex: r.index, Dst: ipNet(p), Gw: net.ParseIP(x.Via), Priority: x.Metric})
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// nameOf is the name of a link now.
func nameOf(index int) (string, error) {
	l, err := net.InterfaceByIndex(index)
	if err != nil {
		return "", err
	}
	return l.Name, nil
}

func (r *record) read() error {
	text, err := os.ReadFile(r.path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, r)
}

func (r *record) write() error {
	if r.path == "" {
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(r.path, text, 0o600)
}

func (r *record) forget() error {
	if r.path == "" {
		return nil
	}
	err := os.Remove(r.path)
	_ = os.Remove(filepath.Dir(r.path)) // unless there are others
	return err
}

// Records says in which directory it is kept what the kernel had on links that are
// silenced. It is made when it is needed. Without one nobody could give it back when
// the router is killed.
func (m *Manager) Records(dir string) { m.silences.dir = dir }

// RestoreLinks gives the kernel back what a router that was killed had silenced,
// but for the links that are wanted again: those stay silent.
func (m *Manager) RestoreLinks(wanted func(name string) bool) error {
	files, err := os.ReadDir(m.silences.dir)
	if m.silences.dir == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	own, err := namespaceInode()
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range files {
		r := &record{path: filepath.Join(m.silences.dir, f.Name())}
		ns, index, _ := strings.Cut(f.Name(), "-")
		r.index, err = strconv.Atoi(index)
		if err != nil || ns != strconv.FormatUint(own, 10) || r.read() != nil {
			errs = append(errs, r.forget()) // of a namespace that was, with its links
			continue
		}
		if name, err := nameOf(r.index); err == nil && wanted(name) {
			continue
		}
		if err := r.restore(); err != nil {
			errs = append(errs, err)
			continue
		}
		m.log.Info("kernel restored", zap.Int("index", r.index))
	}
	return errors.Join(errs...)
}

// namespaceInode is what the router's own network namespace is known by.
func namespaceInode() (uint64, error) {
	var st unix.Stat_t
	err := unix.Stat("/proc/thread-self/ns/net", &st)
	return st.Ino, err
}
