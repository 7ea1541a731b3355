package container

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// rootDir is what the service is installed on: this machine, with what is changed
// there kept in memory.
const rootDir = engineDir + "/root"

// service starts systemd in a container, with router6d installed and not started.
// It is stock systemd but for what is not about router6d: no other unit is wanted.
func service(t *testing.T) *container {
	t.Helper()
	engine.start(t)
	mountRoot(t)
	install(t)
	write(t, "etc/systemd/system/router6d.service.d/test.conf", "[Service]\nWatchdogSec=2s\n") // it is waited for
	write(t, "etc/systemd/system/test.target", "[Unit]\nDefaultDependencies=no\n")
	if err := importTar([]string{"--create", "--directory=" + rootDir, "bin", "lib", "lib64", "sbin"}, "-", "systemd"); err != nil {
		t.Fatal(err)
	}
	flags := []string{
		"--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--cap-add=NET_BROADCAST", "--cap-add=SYS_PTRACE", "--device=/dev/net/tun",
		"--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined", "--security-opt=systempaths=unconfined",
		"--cgroupns=private", "--tmpfs=/run", "--tmpfs=/tmp", "--env=container=docker",
	}
	for _, dir := range []string{"usr", "etc", "var"} {
		flags = append(flags, "--volume="+rootDir+"/"+dir+":/"+dir)
	}
	c := launch(t, "systemd", flags, "systemd", "sh", "-c", boot)
	eventually(t, "wait for systemd", func() error { _, err := c.exec("systemctl is-active test.target"); return err })
	return c
}

// boot gives systemd what it has on a machine: cgroups to write to, and mounts
// that spread.
const boot = `set -e
for fs in /sys/fs/cgroup /sys/fs/cgroup/*; do
	! mountpoint -q $fs || mount -o remount,bind,rw $fs
done
mount --make-rshared /
exec /usr/lib/systemd/systemd --unit=test.target --log-target=console`

func mountRoot(t *testing.T) {
	t.Helper()
	for _, dir := range []string{rootDir, rootDir + ".up", rootDir + ".work"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("overlay", rootDir, "overlay", 0, fmt.Sprintf("lowerdir=/,upperdir=%[1]s.up,workdir=%[1]s.work", rootDir)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(rootDir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for _, pattern := range []string{"usr/lib/systemd/system/*.wants", "etc/systemd/system/*.wants", "usr/lib/systemd/system-generators"} {
		found, err := filepath.Glob(rootDir + "/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// install does what docs/service.md says, with the program of the image.
func install(t *testing.T) {
	t.Helper()
	must(t, "create", "--name", "program", r6Image)
	t.Cleanup(func() { must(t, "rm", "--volumes", "program") })
	if err := os.MkdirAll(tree+"/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, "cp", "program:/usr/bin/router6d", tree+"/bin/router6d")
	script := exec.Command(tree + "/deploy/install.sh")
	script.Env = append(os.Environ(), "DESTDIR="+rootDir)
	if _, err := run(script); err != nil {
		t.Fatal(err)
	}
}

// write writes a file on the machine that the service is on.
func write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(rootDir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// property asks systemd about the service.
func (c *container) property(name string) string {
	c.t.Helper()
	return strings.TrimSpace(c.do("systemctl show --value --property=" + name + " router6d"))
}

func TestUnit(t *testing.T) {
	c := service(t)
	if out := must(t, "exec", c.name, "sh", "-c", "systemd-analyze verify router6d.service 2>&1"); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	// 3.0 "OK": what it must keep is CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW, root and the network.
	c.do("systemd-analyze security --threshold=30 --no-pager router6d.service")

	// Started means that the router answers: nothing waits here.
	c.do("systemctl start router6d")
	c.do("router6d show epoch")

	c.checkNewNamespace()
	c.checkWatchdog()

	c.do("systemctl stop router6d")
	if got := c.property("Result") + " " + c.property("ExecMainStatus"); got != "success 0" {
		t.Errorf("result and exit code = %s, want success 0", got)
	}
	if t.Failed() {
		t.Logf("systemd said:\n%s", c.log())
	}
}

// checkNewNamespace makes a namespace after the service was started, and ends it.
func (c *container) checkNewNamespace() {
	c.t.Helper()
	c.do("ip netns add late")
	c.do("router6d interface add late --address 2001:db8:1::1/64 --netns late --kernel-address 2001:db8:1::2/64")
	c.do("ip netns exec late ping -c 1 -W 5 2001:db8:1::1")
	// The sandbox keeps nothing alive.
	c.do("ip netns del late")
	eventually(c.t, "wait for the end of late", func() error {
		if out := c.do("router6d show interfaces"); strings.Contains(out, "late") {
			return fmt.Errorf("still there:\n%s", out)
		}
		return nil
	})
}

// checkWatchdog hangs the daemon.
func (c *container) checkWatchdog() {
	c.t.Helper()
	pid, told := c.property("MainPID"), c.property("WatchdogTimestampMonotonic")
	eventually(c.t, "wait for a word to the watchdog", func() error {
		if c.property("WatchdogTimestampMonotonic") == told {
			return fmt.Errorf("none since %s", told)
		}
		return nil
	})
	c.do("kill -STOP " + pid)
	eventually(c.t, "wait for another daemon", func() error {
		if now := c.property("MainPID"); now == pid || c.property("ActiveState") != "active" {
			return fmt.Errorf("main pid = %s, %s", now, c.property("ActiveState"))
		}
		return nil
	})
	if got := c.property("NRestarts"); got != "1" {
		c.t.Errorf("restarts = %s, want 1", got)
	}
	c.do("router6d show epoch")
}
