package ifmgr

import "github.com/router6d/router6d/internal/loop"

// EndSession takes the session of a PPPoE interface, and not its carrier; false if
// there is none.
func (m *Manager) EndSession(_ *loop.Turn, name string) bool {
	return m.names[name].ifc.port.(*dialer).session.Swap(nil) != nil
}
