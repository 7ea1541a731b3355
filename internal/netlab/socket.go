package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// sockFlags make a socket that the runtime's poller can wait for.
const sockFlags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC

// socket creates a socket in the namespace. The socket that create returns with
// an error is closed.
func (n *Namespace) socket(name string, create func() (int, error)) (*os.File, error) {
	fd := -1
	err := n.Do(func() (err error) {
		fd, err = create()
		return err
	})
	if err != nil {
		if fd >= 0 {
			closeFD(fd)
		}
		return nil, fmt.Errorf("open %s socket in %s: %w", name, n.name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// scoped replaces the zone of an address, a device's name, by its index in the
// namespace: net remembers names without regard to namespaces.
func (n *Namespace) scoped(a netip.Addr) (netip.Addr, error) {
	if a.Zone() == "" {
		return a, nil
	}
	if _, err := strconv.ParseUint(a.Zone(), 10, 32); err == nil {
		return a, nil
	}
	l, err := n.Link(a.Zone())
	if err != nil {
		return a, fmt.Errorf("zone of %v: %w", a, err)
	}
	return a.WithZone(strconv.Itoa(l.Index)), nil
}

func (n *Namespace) scopedPort(a netip.AddrPort) (netip.AddrPort, error) {
	addr, err := n.scoped(a.Addr())
	return netip.AddrPortFrom(addr, a.Port()), err
}

// sockaddr is an address as the kernel takes it in this namespace.
func (n *Namespace) sockaddr(a netip.AddrPort) (unix.Sockaddr, error) {
	if !a.Addr().Is6() {
		return nil, fmt.Errorf("%v is not an IPv6 address", a)
	}
	a, err := n.scopedPort(a)
	if err != nil {
		return nil, err
	}
	sa := &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	if zone := a.Addr().Zone(); zone != "" {
		index, err := strconv.ParseUint(zone, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("zone of %v: %w", a, err)
		}
		sa.ZoneId = uint32(index)
	}
	return sa, nil
}

// pinCubic is a net.Dialer's Control: every run is to have the same congestion
// control. A kernel without cubic keeps its own.
func pinCubic(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	})
}

// closeFD closes a descriptor: it is gone whatever close says of it.
func closeFD(fd int) { _ = unix.Close(fd) }

// growBuffer asks for a large receive buffer, past the system's limit if the
// process may.
func growBuffer(fd, bytes int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
	}
}

// onFD runs fn with the descriptor, held open meanwhile.
func onFD(c syscall.Conn, fn func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = fn(int(fd)) })
	return errors.Join(err, failed)
}
