package ifmgr

import (
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/loop"
)

// SetMTU changes the MTU of an interface, as its device has, and of the VLANs on
// it.
func (m *Manager) SetMTU(t *loop.Turn, id ID, mtu int) {
	i := m.ifaces[id]
	if i == nil || int(i.mtu.Load()) == mtu {
		return
	}
	m.log.Info("interface mtu changed", zap.String("iface", i.name), zap.Uint64("id", uint64(id)),
		zap.Uint32("was", i.mtu.Load()), zap.Int("mtu", mtu))
	i.mtu.Store(uint32(mtu))
	for _, u := range i.stacked() {
		if v, ok := u.Port.(*vlan); ok {
			m.SetMTU(t, u.id, v.fit(mtu))
		}
		if d, ok := u.Port.(*dialer); ok {
			d.look(t) // another session has to be agreed upon
		}
	}
}

// SetTimeout changes how long a detach may take, for those to come.
func (m *Manager) SetTimeout(_ *loop.Turn, d time.Duration) { m.timeout = d }

// SetHopLimit changes the hop limit of the router's own packets that leave by an
// interface.
func (m *Manager) SetHopLimit(_ *loop.Turn, id ID, limit uint8) {
	if i := m.ifaces[id]; i != nil {
		i.hopLimit.Store(uint32(limit))
	}
}

// SetUnreachables says whether those who send in by an interface are told what could
// not be delivered.
func (m *Manager) SetUnreachables(_ *loop.Turn, id ID, told bool) {
	if i := m.ifaces[id]; i != nil {
		i.noUnreachables.Store(!told)
	}
}

// SetAddresses replaces the router's own addresses on an interface, and has those
// who follow it see them. A link-local address that was made stays, unless there
// is another now. On error nothing has changed.
func (m *Manager) SetAddresses(t *loop.Turn, id ID, addresses []netip.Prefix) error {
	i := m.ifaces[id]
	if i == nil || i.state >= Draining {
		return ErrNotFound
	}
	for _, p := range addresses {
		if err := m.admitAddress(t, i, p.Addr()); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(addresses, isLinkLocal) {
		was := i.addrs.Load().prefixes
		addresses = append(slices.Clip(addresses), was[slices.IndexFunc(was, isLinkLocal)])
	}
	i.setAddresses(t, addresses)
	if i.routable() {
		m.hooks.Up(t, id)
	}
	m.log.Info("interface addresses changed", zap.String("iface", i.name), zap.Uint64("id", uint64(id)),
		zap.Stringers("addresses", addresses))
	return nil
}

func (i *Interface) setAddresses(t *loop.Turn, addresses []netip.Prefix) {
	if i.neighbors == nil {
		i.addrs.Store(newAddrs(addresses, nil))
		return
	}
	i.addrs.Store(newAddrs(addresses, i.neighbors.machine.Addresses()))
	i.neighbors.step(t, nd.Addresses(addresses))
	i.neighbors.refresh()
	i.neighbors.sleep(t)
}
