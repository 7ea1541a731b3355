package nstest

import (
	"os"
	"testing"
)

// Privileged skips a test unless privileged tests are asked for. If they are,
// everything they need must be there: then a skip is a failure.
func Privileged(t testing.TB) {
	t.Helper()
	if !asked() {
		t.Skip("needs privilege: set " + envPrivileged + "=1")
	}
	if os.Geteuid() != 0 {
		t.Fatal(envPrivileged + "=1, but not root")
	}
	if !inside() {
		t.Fatal(envPrivileged + "=1, but TestMain does not call nstest.Main")
	}
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("%s=1, but no TUN: %v", envPrivileged, err)
	}
	_ = tun.Close()
}
