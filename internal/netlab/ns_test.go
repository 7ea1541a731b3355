package netlab_test

import (
	"strings"
	"testing"

	"github.com/router6d/router6d/internal/netlab"
)

func TestNamesThatLeaveTheDirectoryAreRefused(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "../x", "a\x00b", strings.Repeat("a", 256)} {
		if _, err := netlab.NewNamespace(name); err == nil {
			t.Errorf("NewNamespace(%q) succeeded", name)
		}
		if _, err := netlab.OpenNamespace(name); err == nil {
			t.Errorf("OpenNamespace(%q) succeeded", name)
		}
		if err := netlab.Remove(name); err == nil {
			t.Errorf("Remove(%q) succeeded", name)
		}
		if netlab.Exists(name) {
			t.Errorf("Exists(%q)", name)
		}
	}
}
