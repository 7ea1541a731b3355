package container

import (
	"slices"
	"strings"
	"testing"
)

// refused wants a command to fail, and to say why.
func (c *container) refused(words string, why ...string) {
	c.t.Helper()
	out, err := c.exec(words)
	if err == nil {
		c.t.Errorf("%s: done, want it refused\n%s", words, out)
		return
	}
	for _, text := range why {
		if !strings.Contains(err.Error(), text) {
			c.t.Errorf("%s: want %q in\n%v", words, text, err)
		}
	}
}

// TestErrorNamesTheSysctl: without it the kernel's end gets no address.
func TestErrorNamesTheSysctl(t *testing.T) {
	r := router(t)
	r.refused("router6d interface add red --kernel-address 2001:db8:1::2/64",
		"net.ipv6.conf.all.disable_ipv6=0", "--sysctl")
	// An end that moves out needs none.
	red := peer(t, "red")
	r.connect(red, "2001:db8:1")
	red.do("ping -c 1 -W 5 2001:db8:1::1")
}

// TestOtherNamespaceIsRefused: setns needs more than NET_ADMIN.
func TestOtherNamespaceIsRefused(t *testing.T) {
	r := router(t, sysctl)
	r.refused("router6d interface add red --netns /proc/self/ns/net", "CAP_SYS_ADMIN", "move-end")
	r.do("router6d interface add red --kernel-address 2001:db8:1::2/64")
}

// TestErrorNamesWhatIsMissing: one flag left out at a time.
func TestErrorNamesWhatIsMissing(t *testing.T) {
	engine.start(t)
	config := file(t, "interfaces:\n  red:\n    addresses: [2001:db8:1::1/64]\n")
	for _, c := range []struct {
		without string
		flags   []string
		says    string
	}{
		{"--cap-add NET_ADMIN", []string{"--cap-drop", "ALL", "--device", "/dev/net/tun", "--read-only"}, "CAP_NET_ADMIN"},
		{"--device /dev/net/tun", []string{"--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--read-only"}, "--device /dev/net/tun"},
	} {
		t.Run("without "+c.without, func(t *testing.T) {
			_, err := docker(slices.Concat([]string{"run", "--rm", "--network=none", "--volume", config + ":/etc/router6d/router6d.yaml:ro"},
				c.flags, []string{r6Image})...)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("run = %v, want %q", err, c.says)
			}
		})
	}
}
