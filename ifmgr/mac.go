package ifmgr

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"os"

	"github.com/router6d/router6d/internal/config"
)

// chooseMAC makes an address for one end of a device. It is the same whenever
// machine, host name and interface are: neighbors of a router that restarts find
// it where it was. Containers share a machine ID and differ by host name. Without
// a machine ID it is random.
func chooseMAC(iface, end string) (mac config.MAC) {
	id, err := os.ReadFile("/etc/machine-id")
	host, _ := os.Hostname() // empty is no worse
	if err == nil && len(bytes.TrimSpace(id)) > 0 {
		sum := sha256.Sum256([]byte(string(bytes.TrimSpace(id)) + "\x00" + host + "\x00" + iface + "\x00" + end))
		copy(mac[:], sum[:])
	} else {
		rand.Read(mac[:]) // never fails
	}
	mac[0] = mac[0]&^3 | 2 // IEEE 802 §8.4: of one port, and of local choice
	return mac
}
