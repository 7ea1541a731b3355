package nstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	envPrivileged = "ROUTER6D_PRIVILEGED"     // set by `make test`
	envInside     = "ROUTER6D_NETLAB_REENTRY" // set by rerun for its child
)

// Main is all of a TestMain. If privileged tests are asked for, it runs the
// test binary again in a new network and a new mount namespace (no user
// namespace), where nothing is seen of the machine's devices nor of its
// /run/netns and /dev/shm. Otherwise it runs the tests.
func Main(m *testing.M) {
	if !asked() {
		m.Run()
		return
	}
	if !inside() {
		os.Exit(rerun())
	}
	if err := furnish(); err != nil {
		fmt.Fprintln(os.Stderr, "nstest:", err)
		os.Exit(1)
	}
	m.Run()
}

func asked() bool  { return os.Getenv(envPrivileged) == "1" }
func inside() bool { return os.Getenv(envInside) == "1" }

// rerun runs this binary again and returns its exit code.
func rerun() int {
	// Pdeathsig is about the thread that started the child.
	runtime.LockOSThread()
	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Args[0] = os.Args[0]
	child.Env = append(os.Environ(), envInside+"=1")
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		Pdeathsig:  unix.SIGKILL,
	}
	if err := child.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "nstest: run again in new namespaces (needs root): %v\n", err)
		return 1
	}
	forward(child.Process)
	return exitCode(child.Wait())
}

// forward passes signals on, for as long as this process lives.
func forward(to *os.Process) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT)
	go func() {
		for s := range signals {
			_ = to.Signal(s)
		}
	}()
}

// exitCode is that of the child; 128 and the signal, as in a shell, if it was
// killed.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, "nstest: wait for the run inside:", err)
		return 1
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}

// furnish makes the new namespaces fit to live in. The mounts are seen by this
// process alone.
func furnish() error {
	const runDir, shm = "/run/netns", "/dev/shm"
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", runDir, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount %s: %w", runDir, err)
	}
	// Files that go with us, however we end; in a container there may be 64 MB.
	if err := unix.Mount("tmpfs", shm, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return fmt.Errorf("mount %s: %w", shm, err)
	}
	// A sysfs shows the network namespace of the one who mounted it.
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	return nil
}
