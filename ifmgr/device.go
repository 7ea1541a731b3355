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
