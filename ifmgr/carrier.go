package ifmgr

import (
	"errors"

	"go.uber.org/zap"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// Carrier says whether the interface can carry packets. Without carrier it
// keeps its identity, its port and its addresses; only lookups no longer
// return it. It does nothing to one that is draining.
func (m *Manager) Carrier(t *loop.Turn, id ID, up bool) {
	i := m.ifaces[id]
	if i == nil || i.state >= Draining || up == (i.state == Up) {
		return
	}
	defer m.checkStacked(t, i)
	i.since = t.Now()
	if up {
		if i.neighbors != nil {
			i.neighbors.up(t) // before others hear of it: they are told of its addresses once
		}
		i.state = Up
		i.raised.Add(1)
		i.withdrawn.Store(0)
		m.hooks.Up(t, id)
		m.log.Info("interface up", zap.String("iface", i.name), zap.Uint64("id", uint64(id)))
		return
	}
	i.state = Down // before withdrawing: the gate
	routes, slots := m.withdraw(t, i)
	if i.neighbors != nil {
		i.neighbors.down(t)
	}
	m.log.Info("interface down", zap.String("iface", i.name), zap.Uint64("id", uint64(id)),
		zap.Int("routes", routes), zap.Int("slots", slots))
}

// disable takes IPv6 from an interface that has carrier, RFC 4862 §5.4.5.
func (m *Manager) disable(t *loop.Turn, i *Interface) {
	i.disabled.Store(true) // before withdrawing: the gate
	m.withdraw(t, i)
}

// enable gives it back.
func (m *Manager) enable(t *loop.Turn, i *Interface) {
	i.disabled.Store(false)
	if i.state == Up { // else it will be, or something ends it
		i.withdrawn.Store(0)
		m.hooks.Up(t, i.id)
	}
}

// checkStacked asks the ports on top how they are now.
func (m *Manager) checkStacked(t *loop.Turn, i *Interface) {
	for _, u := range i.above() {
		m.Check(t, u.id)
	}
}

// withdraw takes the interface out of the FIB, and notes from which generation
// on a lookup that returns it is wrong. The note comes from the generation
// alone, so that it judges whoever should have withdrawn.
func (m *Manager) withdraw(t *loop.Turn, i *Interface) (routes, slots int) {
	routes, slots = m.hooks.Withdraw(t, i.id)
	i.withdrawn.Store(m.hooks.Generation(t))
	return routes, slots
}

// A prober is a port that can tell how its device is.
type prober interface{ Probe() error }

// Check asks the descriptor how the device is and acts on it: gone is a
// detach, down takes the carrier. For whoever has a reason to doubt it.
func (m *Manager) Check(t *loop.Turn, id ID) {
	i := m.ifaces[id]
	if i == nil || i.state >= Draining {
		return
	}
	if d, ok := i.port.(*dialer); ok && !errors.Is(d.lower.Probe(), link.ErrGone) {
		d.look(t)
		return
	}
	p, ok := i.port.(prober)
	if !ok {
		return
	}
	switch err := p.Probe(); {
	case errors.Is(err, link.ErrGone):
		m.Detach(t, id, ErrDeleted, nil)
	default:
		m.Carrier(t, id, err == nil)
		m.noteMAC(t, i)
	}
}

// noteMAC follows the port's address, which is that of the VLANs on it as well.
func (m *Manager) noteMAC(t *loop.Turn, i *Interface) {
	mac := macOf(i.port)
	if mac == i.mac {
		return
	}
	m.log.Info("interface mac changed", zap.String("iface", i.name), zap.Uint64("id", uint64(i.id)),
		zap.Stringer("was", i.mac), zap.Stringer("mac", mac))
	i.mac = mac
	if i.neighbors != nil {
		i.neighbors.look(t)
	}
	m.checkStacked(t, i)
}

// macOf is the router's address; zero where there is no Ethernet.
func macOf(p link.Port) (mac config.MAC) {
	if e, ok := p.(link.Ethernet); ok {
		mac = e.HardwareAddr()
	}
	return mac
}
