package ifmgr

import "fmt"

// Device is where the kernel has an interface's device now. All of it is
// labels: the descriptor is what the device is known by.
type Device struct {
	Name  string // the kernel's; empty for a port in memory
	Index int
	Netns string // as configured; empty for the router's own
	NSID  int    // the kernel's number for the namespace, as seen from ours
	Kept  bool   // persistent: it was there before us and stays
}

// String is the device's name and namespace.
func (d Device) String() string {
	switch {
	case d.Name == "":
		return "memory"
	case d.Netns != "":
		return fmt.Sprintf("%s in %s", d.Name, d.Netns)
	}
	return d.Name
}

// ownNSID is how messages about the router's own namespace are marked.
const ownNSID = -1

// A deviceKey finds the interface that a kernel message is about.
type deviceKey struct{ nsid, index int }

func (d Device) key() deviceKey { return deviceKey{d.NSID, d.Index} }

// noteDevice says where the kernel has an interface's device now.
func (m *Manager) noteDevice(i *Interface, d Device) {
	m.forgetDevice(i)
	i.device = d
	if d.Name != "" {
		m.devices[d.key()] = i.id
	}
}

// forgetDevice no longer follows it. A device that has moved may be where another
// one was a moment ago, so the entry can be the other's.
func (m *Manager) forgetDevice(i *Interface) {
	if key := i.device.key(); m.devices[key] == i.id {
		delete(m.devices, key)
	}
}
