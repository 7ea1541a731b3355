package link

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A TAP is a Linux TAP device: an Ethernet port whose other end is the kernel's
// network stack, with a MAC address of its own. All else is as with a TUN.
type TAP struct {
	*TUN
	mac [6]byte
}

// CreateTAP makes a TAP device in the caller's network namespace, as CreateTUN
// does a TUN. The address is that of the router's end.
func CreateTAP(name string, mac [6]byte, queues int) (*TAP, error) {
	t, err := create(name, unix.IFF_TAP, queues)
	if err != nil {
		return nil, fmt.Errorf("create tap %s: %w", name, err)
	}
	return &TAP{t, mac}, nil
}

// AttachTAP takes a persistent TAP device, as AttachTUN does a TUN.
func AttachTAP(name string, mac [6]byte, queues int) (*TAP, error) {
	t, err := attach(name, unix.IFF_TAP, queues)
	if err != nil {
		return nil, fmt.Errorf("attach tap %s: %w", name, err)
	}
	return &TAP{t, mac}, nil
}

// HardwareAddr implements Ethernet.
func (t *TAP) HardwareAddr() [6]byte { return t.mac }
