package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/control"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "router6d.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestStopWithManyInterfaces: docker stop gives ten seconds, and then kills.
func TestStopWithManyInterfaces(t *testing.T) {
	const many = 64
	var config strings.Builder
	config.WriteString("interfaces:\n")
	for i := range many {
		fmt.Fprintf(&config, "  if%d: {addresses: [2001:db8:%x::1/64], kernel: {addresses: [2001:db8:%x::2/64]}}\n", i, i+1, i+1)
	}
	r := router(t, sysctl, "--volume="+file(t, config.String())+":/etc/router6d/router6d.yaml:ro")
	if got := len(ask[[]control.Interface](r, "show interfaces")); got != many {
		t.Fatalf("interfaces = %d, want %d", got, many)
	}
	t.Logf("docker stop with %d interfaces took %v", many, r.stop())
	r.checkLog()
}

// TestHealthcheck: healthy when it runs, unhealthy when it hangs.
func TestHealthcheck(t *testing.T) {
	r := router(t, "--health-interval=500ms", "--health-timeout=500ms", "--health-retries=2", "--health-start-period=0s")
	r.awaitHealth("healthy")
	r.signal(unix.SIGSTOP)
	t.Cleanup(func() { r.signal(unix.SIGCONT) }) // before its end
	r.awaitHealth("unhealthy")
	r.signal(unix.SIGCONT)
	r.awaitHealth("healthy")
}

func (c *container) awaitHealth(want string) {
	c.t.Helper()
	eventually(c.t, "wait for "+want, func() error {
		if got := c.inspect("{{.State.Health.Status}}"); got != want {
			return fmt.Errorf("health = %s\n%s", got, c.inspect("{{json .State.Health.Log}}"))
		}
		return nil
	})
}

// signal is sent to the daemon, behind the engine's back.
func (c *container) signal(s unix.Signal) {
	c.t.Helper()
	var pid int
	if _, err := fmt.Sscan(c.pid(), &pid); err != nil {
		c.t.Fatal(err)
	}
	if err := unix.Kill(pid, s); err != nil {
		c.t.Error(err)
	}
}
