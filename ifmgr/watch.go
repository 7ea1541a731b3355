package ifmgr

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/loop"
)

// watchBuffer is what the kernel may queue for us: a thousand interfaces that
// change at once.
const watchBuffer = 4 << 20

// A Watch hears from the kernel about devices, in all namespaces to which it
// has a number, and has the Manager look at those it owns. What a message says
// of a device's end is only a reason to ask the descriptor: a device that moves
// is reported as deleted too.
type Watch struct {
	m        *Manager
	file     *os.File
	raw      syscall.RawConn
	appeared func(name string) // a device is there in our own namespace
}

// NewWatch opens the socket. appeared is called on the watch's goroutine.
func NewWatch(m *Manager, appeared func(name string)) (*Watch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	w := &Watch{m: m, file: os.NewFile(uintptr(fd), "netlink links"), appeared: appeared}
	if w.raw, err = w.file.SyscallConn(); err == nil {
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer),
			unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch links: %w", err), w.file.Close())
	}
	return w, nil
}

// Run follows devices until ctx ends, and closes the socket.
func (w *Watch) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { w.file.Close() })
	defer stop()
	defer w.file.Close()
	buf := make([]byte, 64<<10)
	for {
		msgs, nsid, err := w.receive(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // the kernel had more to say than fits
			w.m.log.Warn("link messages lost", zap.String("cause", "overrun"))
			w.refresh(ctx)
		case err != nil:
			return fmt.Errorf("watch links: %w", err)
		}
		for _, msg := range msgs {
			w.message(ctx, msg, nsid)
		}
	}
}

func (w *Watch) receive(buf []byte) (msgs []syscall.NetlinkMessage, nsid int, err error) {
	var n, oobn int
	var oob [64]byte
	rerr := w.raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, err = unix.Recvmsg(int(fd), buf, oob[:], 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	if err := errors.Join(rerr, err); err != nil {
		return nil, 0, err
	}
	msgs, err = syscall.ParseNetlinkMessage(buf[:n])
	return msgs, parseNSID(oob[:oobn]), err
}

// parseNSID finds the number of the namespace that a message is about.
func parseNSID(oob []byte) int {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return ownNSID
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_NETLINK && m.Header.Type == unix.NETLINK_LISTEN_ALL_NSID && len(m.Data) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(m.Data)))
		}
	}
	return ownNSID
}

func (w *Watch) message(ctx context.Context, msg syscall.NetlinkMessage, nsid int) {
	if msg.Header.Type != unix.RTM_NEWLINK && msg.Header.Type != unix.RTM_DELLINK {
		return
	}
	l, err := netlink.LinkDeserialize(nil, msg.Data)
	if err != nil {
		w.m.log.Warn("link message not understood", zap.Error(err))
		return
	}
	a := l.Attrs()
	key := deviceKey{nsid, a.Index}
	if msg.Header.Type == unix.RTM_DELLINK {
		w.left(ctx, key)
		return
	}
	_ = w.m.loop.Do(ctx, func(t *loop.Turn) error { // fails only at the end
		w.m.changed(t, key, a.Name, a.MTU)
		return nil
	})
	if nsid == ownNSID {
		w.appeared(a.Name)
	}
}

// changed is a device that is there, maybe with another name, MTU or state.
func (m *Manager) changed(t *loop.Turn, key deviceKey, name string, mtu int) {
	id, ok := m.devices[key]
	if !ok {
		return
	}
	i := m.ifaces[id]
	if i.device.Name != name {
		m.log.Info("device renamed", zap.String("iface", i.name), zap.Uint64("id", uint64(id)),
			zap.String("was", i.device.Name), zap.String("device", name))
		i.device.Name = name
	}
	m.SetMTU(t, id, mtu)
	m.Check(t, id)
}

// left is a device that is not where it was: gone, or moved.
func (w *Watch) left(ctx context.Context, key deviceKey) {
	var moved *Interface
	_ = w.m.loop.Do(ctx, func(t *loop.Turn) error { // fails only at the end
		id, ok := w.m.devices[key]
		if !ok {
			return nil
		}
		w.m.Check(t, id)
		if i := w.m.ifaces[id]; i != nil && i.state < Draining {
			moved = i
		}
		return nil
	})
	if moved != nil {
		w.locate(ctx, moved)
	}
}

// refresh looks at every device anew.
func (w *Watch) refresh(ctx context.Context) {
	var all []*Interface
	_ = w.m.loop.Do(ctx, func(t *loop.Turn) error { // fails only at the end
		for _, i := range w.m.ifaces {
			w.m.Check(t, i.id)
			if i.state < Draining {
				all = append(all, i)
			}
		}
		return nil
	})
	for _, i := range all {
		w.locate(ctx, i)
	}
}

// A locator is a port that can tell where its device is.
type locator interface {
	Locate() (name string, ns *os.File, err error)
}

// locate asks the descriptor where the device is now. It may be on its way
// again or end meanwhile; then a message about that is on its way as well.
func (w *Watch) locate(ctx context.Context, i *Interface) {
	p, ok := i.port.(locator)
	if !ok {
		return
	}
	d, mtu, err := find(p)
	if err != nil {
		w.m.log.Warn("device not found", zap.String("iface", i.name), zap.Uint64("id", uint64(i.id)), zap.Error(err))
		return
	}
	_ = w.m.loop.Do(ctx, func(t *loop.Turn) error { // fails only at the end
		w.m.moved(t, i, d)
		w.m.changed(t, d.key(), d.Name, mtu)
		return nil
	})
}

func find(p locator) (d Device, mtu int, err error) {
	name, ns, err := p.Locate()
	if err != nil {
		return d, 0, err
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return d, 0, err
	}
	defer h.Close()
	l, err := h.LinkByName(name)
	if err != nil {
		return d, 0, err
	}
	nsid, err := nsidOf(ns)
	return Device{Name: name, Index: l.Attrs().Index, NSID: nsid}, l.Attrs().MTU, err
}

// moved notes where the device is now.
func (m *Manager) moved(_ *loop.Turn, i *Interface, d Device) {
	if i.state >= Draining || i.device.key() == d.key() {
		return
	}
	delete(m.devices, i.device.key())
	d.Kept, d.Netns = i.device.Kept, fmt.Sprintf("nsid:%d", d.NSID)
	if d.NSID == ownNSID {
		d.Netns = ""
	}
	i.device = d
	m.devices[d.key()] = i.id
	m.log.Info("device moved", zap.String("iface", i.name), zap.Uint64("id", uint64(i.id)), zap.Stringer("device", d))
}
