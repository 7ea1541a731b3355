package container

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

// root of the repository.
const root = "../.."

func TestMain(m *testing.M) {
	if os.Getenv("ROUTER6D_PRIVILEGED") == "1" {
		enclose()
	}
	nstest.Main(m)
	if err := engine.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "docker engine:", err)
		os.Exit(1)
	}
}

// envEnclosed is set by enclose for its child: it is the name of the cgroup that
// containers are in.
const envEnclosed = "ROUTER6D_CONTAINER_ENCLOSED"

// enclose runs this binary again in a process namespace, of which it is the first
// process: nothing that an engine starts outlives it, not even when it is killed.
func enclose() {
	if os.Getenv(envEnclosed) != "" {
		return
	}
	runtime.LockOSThread() // Pdeathsig is about the thread
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Args[0] = os.Args[0]
	cgroup := fmt.Sprintf("router6d-test-%d", os.Getpid())
	c.Env = append(os.Environ(), envEnclosed+"="+cgroup)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		Pdeathsig:  unix.SIGKILL,
	}
	err := c.Run()
	if c.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "run again in a process namespace (needs root):", err)
		os.Exit(1)
	}
	if err := removeCgroup(cgroup); err != nil {
		fmt.Fprintln(os.Stderr, "what the engine leaves:", err)
		os.Exit(1)
	}
	os.Exit(c.ProcessState.ExitCode())
}

// removeCgroup removes a cgroup, which has no processes any more, from every
// hierarchy: of version 1 there are several.
func removeCgroup(name string) error {
	var dirs []string
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		found, err := filepath.Glob(pattern + name)
		if err != nil {
			return err
		}
		for _, top := range found {
			err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil {
			return err
		}
	}
	return nil
}

// privileged begins every test here.
func privileged(t *testing.T) {
	t.Helper()
	nstest.Privileged(t)
	if err := furnish(); err != nil {
		t.Fatal(err)
	}
}

// furnish makes the namespace fit for an engine.
var furnish = sync.OnceValue(func() error {
	// That of the process namespace.
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	// nstest's sysfs hides the machine's, and the cgroups on it.
	if err := unix.Unmount("/sys", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("uncover /sys: %w", err)
	}
	// The engine keeps a key, and the machine may have a configuration for it.
	for _, dir := range []string{"/run", "/etc/docker"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	return nil
})
