package config

import "net"

// MAC is an Ethernet address. The zero value is none: a choice of the router's.
type MAC [6]byte

// ParseMAC parses the address of one Ethernet port, as 02:00:5e:10:00:01.
func ParseMAC(s string) (MAC, error) {
	const use = "write it as 02:00:5e:10:00:01"
	a, err := net.ParseMAC(s)
	switch {
	case err != nil || len(a) != len(MAC{}):
		return MAC{}, wrong(use, "%s is not a MAC address", show(s))
	case a[0]&1 != 0: // IEEE 802 §8.2: the group bit
		return MAC{}, wrong("use a unicast address, whose first byte is even", "%s is a group address", s)
	case MAC(a) == MAC{}:
		return MAC{}, wrong(use, "%s is no address", s)
	}
	return MAC(a), nil
}

// String is the address in lower case, with colons.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }
