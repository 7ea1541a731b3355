package tcpstack

import (
	"errors"
	"maps"
	"net/netip"
	"slices"

	"github.com/router6d/router6d/dataplane"
)

// ErrPortTaken means that somebody listens there.
var ErrPortTaken = errors.New("port is taken")

// Where says what a listener takes. All of it has to fit.
type Where struct {
	Addresses  []netip.Addr // of the router, to which it is; none: any
	Interfaces []string     // through which it comes in; none: any

	// NoSystemPorts takes nothing from ports under 1024, RFC 6335 §6: what comes from
	// there is another server's, and might be taken for a request without end.
	NoSystemPorts bool
}

// systemPorts are those below.
const systemPorts = 1024

// A door is a port where somebody listens. It never changes.
type door struct {
	Where
	socket *Socket // of UDP; nil: of TCP
}

// A doorKey is what a door is found by: a port of TCP is none of UDP.
type doorKey struct {
	protocol uint8
	port     uint16
}

// doorFor is who listens for a packet between these ports, or why nobody takes it.
func (s *Stack) doorFor(m *dataplane.Delivery, from, to uint16) (*door, dataplane.Drop) {
	d := (*s.doors.Load())[doorKey{m.Protocol, to}]
	switch {
	case d == nil || !d.admits(m.Packet.Destination(), m.Interface):
		return nil, dataplane.LocalPort
	case d.NoSystemPorts && from < systemPorts:
		return nil, dataplane.LocalIgnored
	}
	return d, dataplane.None
}

func (d *door) admits(to netip.Addr, through string) bool {
	return (len(d.Addresses) == 0 || slices.Contains(d.Addresses, to)) &&
		(len(d.Interfaces) == 0 || slices.Contains(d.Interfaces, through))
}

// openDoor opens a port. It reports false if it is open.
func (s *Stack) openDoor(k doorKey, d *door) bool {
	return s.changeDoors(func(all map[doorKey]*door) bool {
		if all[k] != nil {
			return false
		}
		all[k] = d
		return true
	})
}

// moveDoor has an open port take what fits at.
func (s *Stack) moveDoor(k doorKey, at Where) {
	s.changeDoors(func(all map[doorKey]*door) bool {
		if d := all[k]; d != nil {
			all[k] = &door{at, d.socket}
		}
		return true
	})
}

// closeDoor closes a port.
func (s *Stack) closeDoor(k doorKey) {
	s.changeDoors(func(all map[doorKey]*door) bool {
		delete(all, k)
		return true
	})
}

// changeDoors publishes a changed copy, unless change reports false. It may be called
// again.
func (s *Stack) changeDoors(change func(map[doorKey]*door) bool) bool {
	for {
		old := s.doors.Load()
		next := maps.Clone(*old)
		if !change(next) {
			return false
		}
		if s.doors.CompareAndSwap(old, &next) {
			return true
		}
	}
}
