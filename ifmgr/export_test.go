package ifmgr

import (
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/pppoe"
)

// EndSession takes the session of a PPPoE interface, and not its carrier; false if
// there is none.
func (m *Manager) EndSession(_ *loop.Turn, name string) bool {
	return m.names[name].ifc.port.(*dialer).session.Swap(nil) != nil
}

// NewIdleSession is a session's port on one that costs nothing.
func NewIdleSession(s pppoe.Session) link.Sender {
	d := &dialer{lower: carrier{newIface(1, idle{}, Settings{Name: "eth0", MTU: 1500})}}
	d.i = newIface(2, d, Settings{Name: "wan", MTU: s.MTU})
	d.session.Store(&s)
	return d
}

// An idle takes all, and does nothing.
type idle struct{}

func (idle) Send(v *link.Vector) error { v.Reset(); return nil }
func (idle) Interrupt()                {}
func (idle) Close() error              { return nil }
func (idle) Sever() error              { return nil }
func (idle) HardwareAddr() [6]byte     { return [6]byte{2} }
