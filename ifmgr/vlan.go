package ifmgr

import (
	"fmt"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// A vlan is a VLAN that knows how large its packets may be.
type vlan struct {
	*link.VLAN
	tag      config.VLAN
	limit    int // MTU as configured; zero: as large as the lower interface lets it be
	overhead int // bytes that are missing of the lower interface's MTU
}

// newVLAN makes the VLAN of c on top of an interface with frames. An Ethernet link
// has room for one customer's tag besides its MTU (IEEE 802.3 §3.2.7), and no more.
func newVLAN(under *Interface, c config.Interface) *vlan {
	tpid, overhead := link.CTag, 0
	if c.VLAN.Protocol == config.Protocol8021AD {
		tpid, overhead = link.STag, link.TagSize
	}
	if _, nested := under.port.(*vlan); nested {
		overhead = link.TagSize
	}
	v := link.NewVLAN(carrier{under}, tpid, c.VLAN.ID)
	return &vlan{VLAN: v, tag: c.VLAN, limit: c.MTU, overhead: overhead}
}

// fit is the MTU of the VLAN on an interface with the MTU lower.
func (v *vlan) fit(lower int) int {
	if mtu := lower - v.overhead; v.limit == 0 || v.limit > mtu {
		return mtu
	}
	return v.limit
}

// A carrier is an interface as the port on top of it uses it.
type carrier struct{ *Interface }

// Send sends through the interface's port, and counts there what it carries.
func (c carrier) Send(v *link.Vector) error {
	packets, bytes := v.Segments(), v.Size()
	err := c.port.Send(v)
	left := v.Segments()
	c.traffic.TxPackets.Add(uint64(packets - left))
	c.traffic.TxBytes.Add(uint64(bytes - v.Size()))
	c.traffic.TxErrors.Add(uint64(left))
	return err
}

// HardwareAddr implements link.Carrier.
func (c carrier) HardwareAddr() [6]byte { return c.port.(link.Ethernet).HardwareAddr() }

// Probe implements link.Carrier. It is called in turns, as Check does.
func (c carrier) Probe() error {
	switch {
	case c.state >= Draining:
		return link.ErrGone
	case c.state != Up:
		return link.ErrDown
	}
	return nil
}

// alive reports whether what is sent may still arrive, although the interface is
// about to end.
func (c carrier) alive() bool {
	p, ok := c.port.(prober)
	return !ok || p.Probe() == nil
}

// attachVLAN attaches the VLAN that c describes, if what it is on is there.
func (m *Manager) attachVLAN(t *loop.Turn, c config.Interface) (ID, error) {
	id, ok := m.Lookup(t, c.Lower)
	if !ok {
		return 0, fmt.Errorf("interface %s: %s: %w", c.Name, c.Lower, link.ErrNotExist)
	}
	under := m.ifaces[id]
	if err := under.admitVLAN(c); err != nil {
		return 0, fmt.Errorf("interface %s: %w", c.Name, err)
	}
	v := newVLAN(under, c)
	s := settingsOf(c)
	s.Up = under.state == Up
	if s.MTU = v.fit(under.MTU()); s.MTU < minMTU {
		return 0, fmt.Errorf("interface %s: %s leaves an MTU of %d, and IPv6 needs %d", c.Name, c.Lower, s.MTU, minMTU)
	}
	return m.Stack(t, id, v, s)
}

// admitVLAN refuses a tag where there are none, and one that another VLAN has.
func (i *Interface) admitVLAN(c config.Interface) error {
	if _, ok := i.port.(link.Ethernet); !ok {
		return fmt.Errorf("%s has no VLANs: its type is %s", i.name, i.kind)
	}
	for _, u := range i.stacked() {
		if v, ok := u.Port.(*vlan); ok && v.tag == c.VLAN {
			return fmt.Errorf("VLAN %d on %s: %w: it is %s", c.VLAN.ID, i.name, ErrExists, u.name)
		}
	}
	return nil
}
