package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const runDir = "/run/netns" // where `ip netns` keeps them

// A Namespace is a network namespace with a name in /run/netns, as `ip netns`
// makes them. It holds no descriptor: the name is all there is to it.
type Namespace struct{ name string }

// NewNamespace makes a namespace with its loopback up. The name must be free.
// Without privilege the error is an fs.ErrPermission.
func NewNamespace(name string) (*Namespace, error) {
	n, err := named(name, func(n *Namespace) error { return onThread(unshare, n.settle) })
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("create namespace %s: needs root (CAP_SYS_ADMIN): %w", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("create namespace %s: %w", name, err)
	}
	return n, nil
}

// NameOwn gives the caller's own namespace a name, which must be free. Delete takes it
// away again.
func NameOwn(name string) (*Namespace, error) {
	n, err := named(name, (*Namespace).bind)
	if err != nil {
		return nil, fmt.Errorf("name the own namespace %s: %w", name, err)
	}
	return n, nil
}

// OpenNamespace returns the namespace of that name, made by whomever.
func OpenNamespace(name string) (*Namespace, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("open namespace %q: %w", name, err)
	}
	if !Exists(name) {
		return nil, fmt.Errorf("open namespace %s: %w", name, fs.ErrNotExist)
	}
	return &Namespace{name: name}, nil
}

// Exists reports whether there is a namespace of that name. A file in
// /run/netns with nothing mounted on it is not one.
func Exists(name string) bool {
	var st unix.Statfs_t
	if checkName(name) != nil || unix.Statfs(filepath.Join(runDir, name), &st) != nil {
		return false
	}
	return st.Type == unix.NSFS_MAGIC
}

// Names lists what is in /run/netns under names with that prefix, in order:
// also the files that a crash left without a namespace, for Remove to sweep.
func Names(prefix string) []string {
	entries, err := os.ReadDir(runDir)
	if err != nil {
		return nil // no directory, no namespaces
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

// Remove deletes the namespace of that name, or what is left of it. It is no
// error that there is none.
func Remove(name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("delete namespace %q: %w", name, err)
	}
	path := filepath.Join(runDir, name)
	err := unix.Unmount(path, unix.MNT_DETACH)
	// EINVAL: a file with nothing mounted on it.
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete namespace %s: unmount: %w", name, err)
	}
	if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete namespace %s: unlink: %w", name, err)
	}
	return nil
}

// Name is the name in /run/netns.
func (n *Namespace) Name() string { return n.name }

// Path is the file that `ip netns` and setns know it by.
func (n *Namespace) Path() string { return filepath.Join(runDir, n.name) }

// Do runs fn in the namespace, on a goroutine and a thread of its own, and
// waits for it. A socket belongs to the namespace of the thread that creates
// it, so fn must create its sockets itself, not on goroutines it starts; net's
// Listen and Dial of a literal address do. As fn is on another goroutine than
// its caller, it returns an error and does not call t.Fatal.
func (n *Namespace) Do(fn func() error) error {
	return onThread(n.enter, fn)
}

// Delete takes the name away; the namespace goes with its last user (a
// process, a socket). It may be called again.
func (n *Namespace) Delete() error { return Remove(n.name) }

func (n *Namespace) enter() error {
	fd, err := n.open()
	if err != nil {
		return err
	}
	defer closeFD(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", n.name, err)
	}
	return nil
}

// open returns a descriptor of the namespace. It keeps the namespace alive.
func (n *Namespace) open() (int, error) {
	fd, err := unix.Open(n.Path(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open namespace %s: %w", n.name, err)
	}
	return fd, nil
}

// named reserves a name, and has bind put a namespace there.
func named(name string, bind func(*Namespace) error) (*Namespace, error) {
	n := &Namespace{name: name}
	if err := checkName(name); err != nil {
		return nil, err
	}
	if err := shareRunDir(); err != nil {
		return nil, err
	}
	fd, err := unix.Open(n.Path(), unix.O_RDONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("reserve the name: %w", err)
	}
	closeFD(fd)
	if err := bind(n); err != nil {
		return nil, errors.Join(err, n.Delete())
	}
	return n, nil
}

// checkName wants a name that stays in the directory.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > unix.NAME_MAX ||
		strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("bad name %q", name)
	}
	return nil
}

// shareRunDir makes /run/netns a shared mount, as `ip netns add` does, so that
// a namespace deleted here is also let go in other mount namespaces.
func shareRunDir() error {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", runDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // a directory, not yet a mount
		if err = unix.Mount(runDir, runDir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", runDir, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("share %s: %w", runDir, err)
	}
	return nil
}

func unshare() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	return nil
}

// bind gives the namespace of this thread the name.
func (n *Namespace) bind() error {
	if err := unix.Mount("/proc/thread-self/ns/net", n.Path(), "none", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount on %s: %w", n.Path(), err)
	}
	return nil
}

// settle runs inside a new namespace: it gives it the name, and a loopback.
func (n *Namespace) settle() error {
	if err := n.bind(); err != nil {
		return err
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

var errExited = errors.New("function in a namespace called Goexit")

// onThread runs fn, after enter has changed the namespace, on a goroutine and
// a thread of its own.
func onThread(enter, fn func() error) error {
	result := make(chan error, 1)
	go func() {
		err := errExited
		defer func() { result <- err }()
		err = visit(enter, fn)
	}()
	return <-result
}

// visit goes there and back. Every way out that leaves the thread elsewhere
// leaves it locked, so that it dies with its goroutine.
func visit(enter, fn func() error) error {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread can't die, and /proc/self shows its namespace.
		// While it is locked here, the next goroutine gets another.
		defer runtime.UnlockOSThread()
		return onThread(enter, fn)
	}
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own namespace: %w", err)
	}
	defer closeFD(home)
	if err := enter(); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = fn()
	if back := unix.Setns(home, unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("return from namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}
